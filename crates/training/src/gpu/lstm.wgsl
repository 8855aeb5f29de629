// One direction of an LSTM over one sample, all its steps in one workgroup: the state never leaves it, and a sequence
// costs one dispatch instead of some for each step. Tensors that both directions have are [2, batch, steps, …] by time.

struct Lstm {
    batch: u32,
    steps: u32,
    repeat: u32,
    units: u32,
    recurrent_forward: u32,
    recurrent_backward: u32,
}

const LANES = 256u;
const UNITS_MAX = 256u;

var<immediate> p: Lstm;
@group(0) @binding(0) var<storage, read> projected: array<f32>;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read> mask: array<f32>;
@group(0) @binding(4) var<storage, read_write> gates: array<f32>;
@group(0) @binding(5) var<storage, read_write> cells: array<f32>;
@group(0) @binding(6) var<storage, read_write> before: array<f32>;
@group(0) @binding(7) var<storage, read_write> out: array<f32>;
@group(0) @binding(0) var<storage, read> d_out: array<f32>;
@group(0) @binding(1) var<storage, read> transposed: array<f32>;
@group(0) @binding(3) var<storage, read> cells_then: array<f32>;

// Four gates i, f, c, o of all units; the state h (masked) and c.
var<workgroup> z: array<f32, 1024>;
var<workgroup> sent: array<f32, 1024>;
var<workgroup> h: array<f32, UNITS_MAX>;
var<workgroup> c: array<f32, UNITS_MAX>;

fn sigmoid(x: f32) -> f32 {
    return 1.0 / (1.0 + exp(-x));
}

// Some drivers' tanh overflows where this saturates.
fn tanh_of(x: f32) -> f32 {
    return sign(x) * (1.0 - 2.0 / (exp(2.0 * abs(x)) + 1.0));
}

@compute @workgroup_size(LANES)
fn lstm_forward(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let u = p.units;
    let line = group.y * p.batch + group.x;
    let recurrent = select(p.recurrent_forward, p.recurrent_backward, group.y == 1u);
    for (var j = lane; j < u; j += LANES) {
        h[j] = 0.0;
        c[j] = 0.0;
    }
    workgroupBarrier();
    for (var walk = 0u; walk < p.steps; walk++) {
        let time = select(walk, p.steps - 1u - walk, group.y == 1u);
        let cell = line * p.steps + time;
        let input = (line * (p.steps / p.repeat) + time / p.repeat) * 4u * u;
        for (var g = lane; g < 4u * u; g += LANES) {
            var sum = projected[input + g];
            for (var j = 0u; j < u; j++) {
                sum += h[j] * weights[recurrent + j * 4u * u + g];
            }
            z[g] = sum;
        }
        workgroupBarrier();
        for (var j = lane; j < u; j += LANES) {
            let i = sigmoid(z[j]);
            let f = sigmoid(z[u + j]);
            let g = tanh_of(z[2u * u + j]);
            let o = sigmoid(z[3u * u + j]);
            gates[cell * 4u * u + j] = i;
            gates[cell * 4u * u + u + j] = f;
            gates[cell * 4u * u + 2u * u + j] = g;
            gates[cell * 4u * u + 3u * u + j] = o;
            before[cell * u + j] = h[j];
            c[j] = i * g + f * c[j];
            cells[cell * u + j] = c[j];
            let hidden = o * tanh_of(c[j]);
            out[(group.x * p.steps + time) * 2u * u + group.y * u + j] = hidden;
            h[j] = hidden * mask[line * u + j];
        }
        workgroupBarrier();
    }
}

// Turns `gates` into the gradients of their pre-activations.
@compute @workgroup_size(LANES)
fn lstm_backward(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let u = p.units;
    let line = group.y * p.batch + group.x;
    for (var g = lane; g < 4u * u; g += LANES) {
        z[g] = 0.0;
    }
    for (var j = lane; j < u; j += LANES) {
        c[j] = 0.0;
    }
    workgroupBarrier();
    for (var left = p.steps; left > 0u; left--) {
        let time = select(left - 1u, p.steps - left, group.y == 1u);
        let cell = line * p.steps + time;
        // What the later step sends back, from each kind of gate by itself.
        for (var q = lane; q < 4u * u; q += LANES) {
            let gate = q / u * u;
            var sum = 0.0;
            for (var g = gate; g < gate + u; g++) {
                sum += z[g] * transposed[(group.y * 4u * u + g) * u + q - gate];
            }
            sent[q] = sum;
        }
        workgroupBarrier();
        for (var j = lane; j < u; j += LANES) {
            let from_later = sent[j] + sent[u + j] + sent[2u * u + j] + sent[3u * u + j];
            let dh = d_out[(group.x * p.steps + time) * 2u * u + group.y * u + j] + mask[line * u + j] * from_later;
            var c_before = 0.0;
            if left > 1u {
                let earlier = select(cell - 1u, cell + 1u, group.y == 1u);
                c_before = cells_then[earlier * u + j];
            }
            let at = cell * 4u * u + j;
            let i = gates[at];
            let f = gates[at + u];
            let g = gates[at + 2u * u];
            let o = gates[at + 3u * u];
            let tanh_c = tanh_of(cells_then[cell * u + j]);
            let dc = c[j] + dh * o * (1.0 - tanh_c * tanh_c);
            z[j] = dc * g * i * (1.0 - i);
            z[u + j] = dc * c_before * f * (1.0 - f);
            z[2u * u + j] = dc * i * (1.0 - g * g);
            z[3u * u + j] = dh * tanh_c * o * (1.0 - o);
            c[j] = dc * f;
            gates[at] = z[j];
            gates[at + u] = z[u + j];
            gates[at + 2u * u] = z[2u * u + j];
            gates[at + 3u * u] = z[3u * u + j];
        }
        workgroupBarrier();
    }
}
