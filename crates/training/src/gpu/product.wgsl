// out = A·B + bias, or out + A·B: every dense layer, convolution and gradient of weights.
//
// A is never stored. Its row r, column c is what tap c / width of a convolution sees, at channel c % width, when it
// stands at output r % rows of sample r / rows: the input step (r % rows)·stride + c / width − pad of a sequence whose
// steps are each repeated `repeat` times, zero outside of it. A dense layer has one row a sample and one tap.

struct Product {
    m: u32,
    n: u32,
    k: u32,
    // Of the k products of a sum, those that one workgroup adds up; the parts go to `gather`.
    part: u32,
    flags: u32,
    a: u32,
    rows: u32,
    sample: u32,
    stride: u32,
    pad: u32,
    limit: u32,
    repeat: u32,
    width: u32,
    b: u32,
    b_row: u32,
    b_column: u32,
    bias: u32,
    to: u32,
}

const TRANSPOSED = 1u;
const ADD = 2u;
const BIAS = 4u;
const PARTS = 8u;

var<immediate> p: Product;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

// 16 of the k by 64 rows of A, and by 64 columns of B.
var<workgroup> tile_a: array<vec4<f32>, 256>;
var<workgroup> tile_b: array<vec4<f32>, 256>;

fn is(flag: u32) -> bool {
    return (p.flags & flag) != 0u;
}

fn seen(row: u32, column: u32) -> f32 {
    let step = i32((row % p.rows) * p.stride + column / p.width) - i32(p.pad);
    if step < 0 || step >= i32(p.limit) {
        return 0.0;
    }
    return x[p.a + row / p.rows * p.sample + u32(step) / p.repeat * p.width + column % p.width];
}

fn a(row: u32, k: u32, end: u32) -> f32 {
    if row >= p.m || k >= end {
        return 0.0;
    }
    if is(TRANSPOSED) {
        return seen(k, row);
    }
    return seen(row, k);
}

fn b(k: u32, column: u32, end: u32) -> f32 {
    if column >= p.n || k >= end {
        return 0.0;
    }
    return weights[p.b + k * p.b_row + column * p.b_column];
}

fn put(row: u32, column: u32, sum: f32) {
    var value = sum;
    if is(BIAS) {
        value += weights[p.bias + column];
    }
    let at = p.to + row * p.n + column;
    if is(ADD) {
        value += out[at];
    }
    out[at] = value;
}

@compute @workgroup_size(256)
fn product(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let slow = lane / 16u;
    let fast = lane % 16u;
    // Neighbouring lanes read neighbouring values.
    let a_k = select(fast, slow, is(TRANSPOSED));
    let a_row = select(slow, fast, is(TRANSPOSED));
    let b_k = select(fast, slow, p.b_column == 1u);
    let b_column = select(slow, fast, p.b_column == 1u);
    let begin = group.z * p.part;
    let end = min(p.k, begin + p.part);
    var sums: array<vec4<f32>, 4>;
    for (var k = begin; k < end; k += 16u) {
        let row = group.y * 64u + 4u * a_row;
        tile_a[a_k * 16u + a_row] = vec4(
            a(row, k + a_k, end),
            a(row + 1u, k + a_k, end),
            a(row + 2u, k + a_k, end),
            a(row + 3u, k + a_k, end),
        );
        let column = group.x * 64u + 4u * b_column;
        tile_b[b_k * 16u + b_column] = vec4(
            b(k + b_k, column, end),
            b(k + b_k, column + 1u, end),
            b(k + b_k, column + 2u, end),
            b(k + b_k, column + 3u, end),
        );
        workgroupBarrier();
        for (var i = 0u; i < 16u; i++) {
            let rows = tile_a[i * 16u + slow];
            let columns = tile_b[i * 16u + fast];
            sums[0] += rows.x * columns;
            sums[1] += rows.y * columns;
            sums[2] += rows.z * columns;
            sums[3] += rows.w * columns;
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < 4u; i++) {
        for (var j = 0u; j < 4u; j++) {
            let row = group.y * 64u + 4u * slow + i;
            let column = group.x * 64u + 4u * fast + j;
            if row >= p.m || column >= p.n {
                continue;
            }
            if is(PARTS) {
                out[(group.z * p.m + row) * p.n + column] = sums[i][j];
            } else {
                put(row, column, sums[i][j]);
            }
        }
    }
}

// Adds up what `product` left in parts, in order.
@compute @workgroup_size(256)
fn gather(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var i = id.x; i < p.m * p.n; i += groups.x * 256u) {
        var sum = 0.0;
        for (var k = 0u; k * p.part < p.k; k++) {
            sum += x[k * p.m * p.n + i];
        }
        put(i / p.n, i % p.n, sum);
    }
}

// Gradient of the input of a convolution from that of A: every input value sums what each tap that saw it says.
@compute @workgroup_size(256)
fn scatter(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let steps = p.limit / p.repeat;
    for (var i = id.x; i < p.m / p.rows * steps * p.width; i += groups.x * 256u) {
        let channel = i % p.width;
        let step = i / p.width % steps;
        let sample = i / (p.width * steps);
        var sum = 0.0;
        for (var again = 0u; again < p.repeat; again++) {
            for (var tap = 0u; tap < p.k / p.width; tap++) {
                let place = step * p.repeat + again + p.pad;
                if place < tap || (place - tap) % p.stride != 0u || (place - tap) / p.stride >= p.rows {
                    continue;
                }
                let row = sample * p.rows + (place - tap) / p.stride;
                sum += x[row * p.k + tap * p.width + channel];
            }
        }
        out[p.to + i] = sum;
    }
}
