//! The GAN lab: runs that are short, and the same when they went on.

use std::fs;
use std::path::Path;

use training::lab::LabError;
use training::lab::mode_collapse::{self, Job};
use training::lab::seasonality::{self, CHANGE, PERIOD};
use training::run_dir::{self, ResumeError};

fn job(out: &Path) -> Job {
    Job {
        seeds: 2,
        steps: 6,
        look_every: 2,
        batch: 8,
        ..Job::new(out.to_owned())
    }
}

#[test]
fn mode_collapse_leaves_rows_pictures_and_checkpoints_and_goes_on_to_the_same() {
    let [once, parts] = [(), ()].map(|()| tempfile::tempdir().expect("a folder"));
    let mut steps = 0;
    mode_collapse::run(&job(once.path()), |_| steps += 1).expect("it trains");
    assert_eq!(steps, 2 * 2 * 6);
    let rows = fs::read_to_string(once.path().join("looks.csv")).expect("rows");
    // A header, and each GAN's start and three looks.
    assert_eq!(rows.lines().count(), 1 + 4 * 4);

    // As if it had been stopped after the newest checkpoint but one.
    mode_collapse::run(&job(parts.path()), |_| ()).expect("it trains");
    let newest = run_dir::checkpoints(parts.path()).expect("a folder").pop();
    fs::remove_file(newest.expect("a checkpoint")).expect("removable");
    let again = Job {
        resume: true,
        ..job(parts.path())
    };
    steps = 0;
    mode_collapse::run(&again, |_| steps += 1).expect("it goes on");
    assert_eq!(steps, 2);
    for name in [
        "looks.csv",
        "densities.svg",
        "time.svg",
        "seeds.svg",
        "collapse.svg",
    ] {
        let read = |dir: &Path| fs::read_to_string(dir.join(name)).expect(name);
        assert_eq!(read(once.path()), read(parts.path()), "{name}");
        assert!(!read(once.path()).contains("NaN"), "{name}");
    }
}

#[test]
fn a_run_with_other_settings_does_not_go_on() {
    let dir = tempfile::tempdir().expect("a folder");
    mode_collapse::run(&job(dir.path()), |_| ()).expect("it trains");
    let other = Job {
        latent: 5,
        resume: true,
        ..job(dir.path())
    };
    let error = mode_collapse::run(&other, |_| ());
    assert!(matches!(error, Err(LabError::Resume(ResumeError::Other { .. }))));
}

#[test]
fn a_change_of_season_is_found_and_a_run_that_goes_on_finds_the_same() {
    let [once, parts] = [(), ()].map(|()| tempfile::tempdir().expect("a folder"));
    let job = |out: &Path| seasonality::Job {
        warm_up: 100,
        steps: 4,
        ..seasonality::Job::new(out.to_owned())
    };
    let outcome = seasonality::run(&job(once.path()), |_| ()).expect("it trains");
    // The published method marks the change itself: a long new season is soon no longer unusual to it.
    let change =
        |[first, last]: &[usize; 2]| (CHANGE - PERIOD..CHANGE + 2 * PERIOD).contains(first) && *last > CHANGE;
    assert!(outcome.found.iter().any(change), "{:?}", outcome.found);

    // As if it had been stopped after the newest checkpoint but one.
    seasonality::run(&job(parts.path()), |_| ()).expect("it trains");
    let newest = run_dir::checkpoints(parts.path()).expect("a folder").pop();
    fs::remove_file(newest.expect("a checkpoint")).expect("removable");
    let again = seasonality::Job {
        resume: true,
        ..job(parts.path())
    };
    let mut steps = 0;
    seasonality::run(&again, |_| steps += 1).expect("it goes on");
    assert!((1..104).contains(&steps), "{steps}");
    for name in ["series.csv", "labels.json", "season.svg", "bundle/encoder.onnx"] {
        let read = |dir: &Path| fs::read(dir.join(name)).expect(name);
        assert_eq!(read(once.path()), read(parts.path()), "{name}");
    }
}
