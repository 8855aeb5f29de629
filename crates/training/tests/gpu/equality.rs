//! The same nets, windows, latents and dropout on both.

use std::f32::consts::TAU;

use training::gpu::{GpuError, TOLERANCE};
use training::nets::{Body, Nets, Sizes, Weights};
use training::trainer::{Settings, StepLosses, Trainer};

const RECURRENT: Body = Body::Recurrent {
    encoder_units: 5,
    generator_units: 4,
};
const CONV: Body = Body::Conv {
    encoder_filters: 3,
    generator_filters: 4,
};

fn tiny(body: Body) -> Sizes {
    Sizes {
        window: 20,
        latent: 3,
        body,
        critic_filters: 3,
        critic_z_units: 4,
    }
}

fn settings() -> Settings {
    Settings {
        seed: 5,
        batch: 64,
        average: 0.9,
        ..Settings::default()
    }
}

/// Sines of many phases and periods.
fn windows(step: usize, inner: usize, x: &mut [f32]) {
    for (k, x) in x.iter_mut().enumerate() {
        let (sample, t) = (k / 20, k % 20);
        let phase = (step * 7 + inner * 3 + sample) as f32 * 0.37;
        *x = 0.8 * (phase + t as f32 * TAU / (6 + sample % 9) as f32).sin();
    }
}

/// Takes so many steps with both; `None` where there is no device.
fn both(sizes: Sizes, settings: Settings, steps: usize) -> Option<[(Vec<StepLosses>, Trainer); 2]> {
    let new = || Trainer::new(Nets::new(sizes.clone()), settings);
    let gpu = match new().on_gpu() {
        Ok(trainer) => trainer,
        Err(GpuError::Absent(why)) => {
            println!("SKIPPED: no Vulkan device ({why})");
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    println!("on {}", gpu.gpu_name().unwrap_or_default());
    let run = |mut trainer: Trainer| {
        let losses = (0..steps)
            .map(|step| trainer.step(|inner, x| windows(step, inner, x)))
            .collect();
        trainer.sync();
        (losses, trainer)
    };
    Some([run(new()), run(gpu)])
}

/// Largest difference of a net's values, as a share of its largest value where `relative`.
fn apart(a: &Weights, b: &Weights, relative: bool) -> [f32; 4] {
    let (a, b) = (a.nets(), b.nets());
    [0, 1, 2, 3].map(|net| {
        assert_eq!(a[net].len(), b[net].len());
        let most = |values: &mut dyn Iterator<Item = f32>| values.fold(0.0, f32::max);
        let difference = most(&mut a[net].iter().zip(b[net]).map(|(a, b)| (a - b).abs()));
        let size = most(&mut a[net].iter().map(|a| a.abs()));
        assert!(size.is_finite() && difference.is_finite());
        difference / if relative { size.max(1e-12) } else { 1.0 }
    })
}

fn assert_equal_losses(a: &[StepLosses], b: &[StepLosses]) {
    for (a, b) in a.iter().zip(b) {
        let numbers = |l: &StepLosses| {
            let (x, z, g) = (l.critic_x, l.critic_z, l.generator);
            let [e, f, c, d] = l.gradients;
            [
                x.real,
                x.fake,
                x.penalty,
                z.real,
                z.fake,
                z.penalty,
                g.critic_x,
                g.critic_z,
                g.reconstruction,
                g.total,
                e,
                f,
                c,
                d,
            ]
        };
        for (k, (a, b)) in numbers(a).into_iter().zip(numbers(b)).enumerate() {
            assert!(
                (a - b).abs() < 2e-4 * (1.0 + a.abs()),
                "loss {k}: {a} on the processor, {b} on the GPU"
            );
        }
    }
}

/// After one step Adam's first moments are a tenth of the gradients of encoder and generator, and a mean of five
/// gradients of each critic.
fn assert_equal_gradients(sizes: Sizes, settings: Settings) {
    let Some([(losses, cpu), (losses_gpu, gpu)]) = both(sizes, settings, 1) else {
        return;
    };
    assert_equal_losses(&losses, &losses_gpu);
    let apart = apart(&cpu.state.first, &gpu.state.first, true);
    println!("gradients differ by {apart:?} of the largest");
    assert!(apart.iter().all(|apart| *apart < 2e-4), "{apart:?}");
}

#[test]
fn gradients_of_the_recurrent_nets_are_equal() {
    assert_equal_gradients(tiny(RECURRENT), settings());
}

#[test]
fn gradients_of_the_convolutional_nets_are_equal() {
    assert_equal_gradients(tiny(CONV), settings());
}

#[test]
fn gradients_of_the_warm_up_are_equal() {
    let settings = Settings {
        warm_up: 1,
        reconstruction_weight: 30.0,
        ..settings()
    };
    assert_equal_gradients(tiny(RECURRENT), settings);
}

#[test]
fn gradients_of_a_bent_loss_are_equal() {
    let settings = Settings {
        huber: 0.1,
        ..settings()
    };
    assert_equal_gradients(tiny(CONV), settings);
}

/// The last of three shards is a short one, and draws its dropout from its own stream.
#[test]
fn an_uneven_batch_is_the_same_batch() {
    let settings = Settings {
        batch: 70,
        ..settings()
    };
    let Some([(cpu, _), (gpu, _)]) = both(tiny(RECURRENT), settings, 1) else {
        return;
    };
    assert_equal_losses(&cpu, &gpu);
}

#[test]
fn a_short_run_ends_at_the_same_weights() {
    for body in [RECURRENT, CONV] {
        let settings = Settings {
            warm_up: 1,
            ..settings()
        };
        let Some([(losses, cpu), (losses_gpu, gpu)]) = both(tiny(body), settings, 4) else {
            return;
        };
        assert_equal_losses(&losses, &losses_gpu);
        assert_eq!(cpu.state.step, gpu.state.step);
        let weights = apart(&cpu.state.weights, &gpu.state.weights, false);
        let average = apart(&cpu.state.average, &gpu.state.average, false);
        println!("weights differ by {weights:?}, their averages by {average:?}");
        assert!(
            weights.iter().chain(&average).all(|apart| *apart < TOLERANCE),
            "{weights:?} {average:?}"
        );
    }
}

/// A batch that no memory holds is said, and nothing else happens.
#[test]
fn too_large_a_batch_is_refused() {
    let settings = Settings {
        batch: 1 << 17,
        ..settings()
    };
    let sizes = Sizes {
        body: Sizes::paper().body,
        ..tiny(CONV)
    };
    match Trainer::new(Nets::new(sizes), settings).on_gpu() {
        Err(GpuError::Unfit { reason, .. }) => assert!(reason.contains("memory"), "{reason}"),
        Err(GpuError::Absent(why)) => println!("SKIPPED: no Vulkan device ({why})"),
        other => panic!("{:?}", other.map(|trainer| trainer.state.step)),
    }
}

/// What a checkpoint holds is all there is: on one device, runs are equal bit for bit.
#[test]
fn going_on_from_a_state_is_as_if_never_stopped() {
    let settings = Settings {
        warm_up: 1,
        ..settings()
    };
    let Some([_, (_, whole)]) = both(tiny(RECURRENT), settings, 4) else {
        return;
    };
    let Some([_, (_, half)]) = both(tiny(RECURRENT), settings, 2) else {
        return;
    };
    let rest = Trainer::with_state(half.nets.clone(), settings, half.state);
    let mut rest = rest.on_gpu().expect("it was there a moment ago");
    for step in 2..4 {
        rest.step(|inner, x| windows(step, inner, x));
    }
    rest.sync();
    assert!(rest.state == whole.state);
}
