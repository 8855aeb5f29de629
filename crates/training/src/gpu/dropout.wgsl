// Dropout factors from ChaCha8: the very draws of the processor's `rng::dropout_mask`, so that both train alike.

struct Dropout {
    key_low: vec4<u32>,
    key_high: vec4<u32>,
    stream_low: u32,
    stream_high: u32,
    // Words of the stream that were drawn before.
    drawn: u32,
    // Factors to draw: `width` a sample. The first `rows` samples go to rows from `row` on, the others `jump` later.
    count: u32,
    width: u32,
    rows: u32,
    row: u32,
    jump: u32,
    to: u32,
    // A draw of 16 bits below it is dropped.
    cut: u32,
    keep: f32,
}

var<immediate> p: Dropout;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

fn turn(x: u32, by: u32) -> u32 {
    return (x << by) | (x >> (32u - by));
}

fn quarter(x: ptr<function, array<u32, 16>>, a: u32, b: u32, c: u32, d: u32) {
    (*x)[a] += (*x)[b];
    (*x)[d] = turn((*x)[d] ^ (*x)[a], 16u);
    (*x)[c] += (*x)[d];
    (*x)[b] = turn((*x)[b] ^ (*x)[c], 12u);
    (*x)[a] += (*x)[b];
    (*x)[d] = turn((*x)[d] ^ (*x)[a], 8u);
    (*x)[c] += (*x)[d];
    (*x)[b] = turn((*x)[b] ^ (*x)[c], 7u);
}

// One block of 16 words, so 32 draws, an invocation.
@compute @workgroup_size(64)
fn dropout(@builtin(global_invocation_id) id: vec3<u32>) {
    let block = p.drawn / 16u + id.x;
    let start = array<u32, 16>(
        0x61707865u, 0x3320646eu, 0x79622d32u, 0x6b206574u,
        p.key_low.x, p.key_low.y, p.key_low.z, p.key_low.w,
        p.key_high.x, p.key_high.y, p.key_high.z, p.key_high.w,
        block, 0u, p.stream_low, p.stream_high,
    );
    var x = start;
    for (var round = 0u; round < 8u; round += 2u) {
        quarter(&x, 0u, 4u, 8u, 12u);
        quarter(&x, 1u, 5u, 9u, 13u);
        quarter(&x, 2u, 6u, 10u, 14u);
        quarter(&x, 3u, 7u, 11u, 15u);
        quarter(&x, 0u, 5u, 10u, 15u);
        quarter(&x, 1u, 6u, 11u, 12u);
        quarter(&x, 2u, 7u, 8u, 13u);
        quarter(&x, 3u, 4u, 9u, 14u);
    }
    for (var i = 0u; i < 32u; i++) {
        let word = block * 16u + i / 2u;
        let draw = ((x[i / 2u] + start[i / 2u]) >> (16u * (i % 2u))) & 0xffffu;
        if word < p.drawn || (word - p.drawn) * 2u + i % 2u >= p.count {
            continue;
        }
        let number = (word - p.drawn) * 2u + i % 2u;
        let sample = number / p.width;
        let row = p.row + sample + select(0u, p.jump - p.rows, sample >= p.rows);
        out[p.to + row * p.width + number % p.width] = select(p.keep, 0.0, draw < p.cut);
    }
}
