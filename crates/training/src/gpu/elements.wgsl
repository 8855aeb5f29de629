// What happens to values one by one, or to one sample by one workgroup.

struct Elements {
    count: u32,
    begin: u32,
    to: u32,
    width: u32,
    from_stride: u32,
    to_stride: u32,
    steps: u32,
    factor: f32,
    bend: f32,
    // Adam's.
    keep_first: f32,
    take_first: f32,
    keep_second: f32,
    take_second: f32,
    epsilon: f32,
}

const LEAK = 0.2;

var<immediate> p: Elements;
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
@group(0) @binding(5) var<storage, read_write> other: array<f32>;
@group(0) @binding(6) var<storage, read_write> first: array<f32>;
@group(0) @binding(7) var<storage, read_write> second: array<f32>;

fn tanh_of(x: f32) -> f32 {
    return sign(x) * (1.0 - 2.0 / (exp(2.0 * abs(x)) + 1.0));
}

@compute @workgroup_size(256)
fn fill(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var i = id.x; i < p.count; i += groups.x * 256u) {
        out[p.to + i] = p.factor;
    }
}

// Rows of `width` values.
@compute @workgroup_size(256)
fn copy(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var i = id.x; i < p.count; i += groups.x * 256u) {
        let at = p.begin + i / p.width * p.from_stride + i % p.width;
        out[p.to + i / p.width * p.to_stride + i % p.width] = a[at];
    }
}

@compute @workgroup_size(256)
fn add(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var i = id.x; i < p.count; i += groups.x * 256u) {
        out[p.to + i] += a[p.begin + i];
    }
}

@compute @workgroup_size(256)
fn multiply(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var i = id.x; i < p.count; i += groups.x * 256u) {
        out[p.to + i] *= a[p.begin + i];
    }
}

// Leaky ReLU and dropout: the slopes in `other` hold the factors of dropout before.
@compute @workgroup_size(256)
fn leaky(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var i = id.x; i < p.count; i += groups.x * 256u) {
        other[i] *= select(LEAK, 1.0, out[i] > 0.0);
        out[i] *= other[i];
    }
}

@compute @workgroup_size(256)
fn tanh_forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var i = id.x; i < p.count; i += groups.x * 256u) {
        out[i] = tanh_of(out[i]);
    }
}

// Out: gradient of what went into `tanh`; `b` holds what came out.
@compute @workgroup_size(256)
fn tanh_backward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var i = id.x; i < p.count; i += groups.x * 256u) {
        out[i] = a[i] * (1.0 - b[i] * b[i]);
    }
}

// Out: the point between real samples (already there) and fake ones, by each sample's share of the real one.
@compute @workgroup_size(256)
fn interpolate(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var i = id.x; i < p.count; i += groups.x * 256u) {
        let share = b[i / p.width];
        out[i] = share * out[i] + (1.0 - share) * a[i];
    }
}

// Input of each direction of an LSTM: [batch, steps, width] under a mask of [2, batch, width].
@compute @workgroup_size(256)
fn mask_input(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var i = id.x; i < 2u * p.count; i += groups.x * 256u) {
        let line = i / (p.steps * p.width);
        out[i] = a[i % p.count] * b[line * p.width + i % p.width];
    }
}

// The way back: both directions under their masks, summed.
@compute @workgroup_size(256)
fn merge_input(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var i = id.x; i < p.count; i += groups.x * 256u) {
        let mask = i / (p.steps * p.width) * p.width + i % p.width;
        let masks = p.count / p.steps;
        out[i] = a[i] * b[mask] + a[p.count + i] * b[masks + mask];
    }
}

// Sums `steps` neighbouring rows of `width`.
@compute @workgroup_size(256)
fn fold(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var i = id.x; i < p.count; i += groups.x * 256u) {
        var sum = 0.0;
        for (var step = 0u; step < p.steps; step++) {
            sum += a[(i / p.width * p.steps + step) * p.width + i % p.width];
        }
        out[i] = sum;
    }
}

// A matrix of rows of `width`.
@compute @workgroup_size(256)
fn transpose(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var i = id.x; i < p.count; i += groups.x * 256u) {
        out[p.to + i % p.width * (p.count / p.width) + i / p.width] = a[p.begin + i];
    }
}

@compute @workgroup_size(256)
fn adam(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var i = id.x; i < p.count; i += groups.x * 256u) {
        let g = other[i];
        first[i] = p.keep_first * first[i] + p.take_first * g;
        second[i] = p.keep_second * second[i] + p.take_second * g * g;
        out[i] -= p.factor * first[i] / (sqrt(second[i]) + p.epsilon);
        other[i] = 0.0;
    }
}

// The moving average of the weights.
@compute @workgroup_size(256)
fn follow(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    for (var i = id.x; i < p.count; i += groups.x * 256u) {
        out[i] = p.factor * out[i] + (1.0 - p.factor) * a[i];
    }
}

var<workgroup> lanes: array<f32, 256>;

// The sum of what 256 lanes hold.
fn sum_of(lane: u32, value: f32) -> f32 {
    lanes[lane] = value;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if lane < half {
            lanes[lane] += lanes[lane + half];
        }
        workgroupBarrier();
    }
    return lanes[0];
}

// Sum of squares of `a`, to one place.
@compute @workgroup_size(256)
fn squares(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var i = lane; i < p.count; i += 256u) {
        sum += a[i] * a[i];
    }
    let total = sum_of(lane, sum);
    if lane == 0u {
        out[p.to] = total;
    }
}

// For the gradient g of a sample in `a`: `other` gets factor·∂(‖g‖ − 1)²/∂g, and `out` the term of the penalty.
@compute @workgroup_size(256)
fn penalty(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var i = lane; i < p.width; i += 256u) {
        let g = a[group.x * p.width + i];
        sum += g * g;
    }
    let norm = sqrt(sum_of(lane, sum));
    var factor = 0.0;
    if norm > 0.0 {
        factor = p.factor * 2.0 * (norm - 1.0) / norm;
    }
    for (var i = lane; i < p.width; i += 256u) {
        other[group.x * p.width + i] = factor * a[group.x * p.width + i];
    }
    if lane == 0u {
        out[p.to + group.x] = (norm - 1.0) * (norm - 1.0);
    }
}

// For windows in `b` and what was made of them in `a`, from `begin` on: `other` gets factor·(a − b)/√(1 + ((a − b)·bend)²), and
// `out` the sum of each sample's losses: squared errors, less where they are bent.
@compute @workgroup_size(256)
fn errors(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var i = lane; i < p.width; i += 256u) {
        let at = group.x * p.width + i;
        let error = a[p.begin + at] - b[at];
        let root = sqrt(1.0 + error * p.bend * error * p.bend);
        other[p.begin + at] = p.factor * error / root;
        sum += 2.0 * error * error / (1.0 + root);
    }
    let total = sum_of(lane, sum);
    if lane == 0u {
        out[p.to + group.x] = total;
    }
}

// For latents in `a`: adds factor·(‖z‖²/width − 1)·z to `other`, and `out` gets (‖z‖²/width − 1)².
@compute @workgroup_size(256)
fn sphere(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var i = lane; i < p.width; i += 256u) {
        let z = a[group.x * p.width + i];
        sum += z * z;
    }
    let off = sum_of(lane, sum) / f32(p.width) - 1.0;
    for (var i = lane; i < p.width; i += 256u) {
        let at = group.x * p.width + i;
        other[at] += p.factor * off * a[at];
    }
    if lane == 0u {
        out[p.to + group.x] = off * off;
    }
}
