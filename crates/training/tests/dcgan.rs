//! The GAN lab's digits: runs that are short, the same when they went on and on more threads.

#[path = "support/idx.rs"]
mod idx;

use std::fs;
use std::path::Path;

use training::lab::LabError;
use training::lab::dcgan::{self, Job, MnistError, Outcome};
use training::run_dir::{self, ResumeError};

/// `count` training digits and half as many others.
fn digits(count: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for (set, from, to) in [("train", 0, count), ("t10k", count, count + count / 2)] {
        let labels: Vec<u8> = (from..to).map(|k| (k % 10) as u8).collect();
        let images = (from..to).zip(&labels);
        let images: Vec<_> = images.map(|(k, kind)| idx::digit(*kind, k * 7)).collect();
        idx::write_set(dir.path(), set, &images, &labels);
    }
    dir
}

fn job(mnist: &Path, out: &Path) -> Job {
    Job {
        classifier_epochs: 1,
        epochs: 2,
        batch: 20,
        drawings: 30,
        look_every: 2,
        ..Job::new(mnist.to_owned(), out.to_owned())
    }
}

fn train(job: &Job) -> (usize, Outcome) {
    let mut steps = 0;
    let outcome = dcgan::run(job, |_| steps += 1).expect("it trains");
    (steps, outcome)
}

/// The newest checkpoint's bytes, and the text or bytes of all that is drawn and written down.
fn left_by(dir: &Path) -> Vec<Vec<u8>> {
    let newest = run_dir::checkpoints(dir).expect("a folder").pop();
    let names = [
        "looks.csv",
        "curves.svg",
        "digits.png",
        "epoch-00.png",
        "epoch-02.png",
    ];
    let files = names.iter().map(|name| dir.join(name)).chain(newest);
    files.map(|path| fs::read(&path).expect("a file")).collect()
}

#[test]
fn a_run_goes_on_to_the_same_and_threads_do_not_show() {
    let mnist = digits(60);
    let [once, parts, threads] = [(), (), ()].map(|()| tempfile::tempdir().expect("a folder"));
    let (steps, outcome) = train(&job(mnist.path(), once.path()));
    // Three batches an epoch.
    assert_eq!(steps, 3 + 2 * 3);
    let wanted = left_by(once.path());
    let rows = String::from_utf8(wanted[0].clone()).expect("text");
    // A header, six looks at the losses (at even steps, and where epochs end), three at drawings.
    assert_eq!(rows.lines().count(), 1 + 6 + 3, "{rows}");
    assert!(outcome.before.frechet > 0.0 && outcome.after.frechet > 0.0);
    assert!(
        !String::from_utf8(wanted[1].clone())
            .expect("text")
            .contains("NaN")
    );

    let several = Job {
        threads: 2,
        ..job(mnist.path(), threads.path())
    };
    assert_eq!(train(&several), (steps, outcome));
    assert!(left_by(threads.path()) == wanted, "threads show");

    // As if it had been stopped with the classifier half trained, and then in the middle of an epoch.
    for stop in [2, 8] {
        let again = Job {
            resume: stop > 2,
            ..job(mnist.path(), parts.path())
        };
        let stopped = std::panic::catch_unwind(|| {
            dcgan::run(&again, |progress| {
                assert!(progress.done < stop, "stopped, as was intended");
            })
        });
        assert!(stopped.is_err());
    }
    let again = Job {
        resume: true,
        ..job(mnist.path(), parts.path())
    };
    let (rest, same) = train(&again);
    assert_eq!((rest, same), (1, outcome));
    assert!(left_by(parts.path()) == wanted, "it went on to something else");
    // And a run that is done has nothing left to do.
    assert_eq!(train(&again), (0, outcome));
}

#[test]
fn the_classifier_learns_and_drawings_come_nearer_to_the_digits() {
    let (mnist, out) = (digits(100), tempfile::tempdir().expect("a folder"));
    let job = Job {
        classifier_epochs: 12,
        epochs: 10,
        // So few steps need long ones.
        learning_rate: 0.01,
        ema: 0.5,
        drawings: 50,
        look_every: 100,
        ..job(mnist.path(), out.path())
    };
    let (_, outcome) = train(&job);
    assert!(outcome.baseline.accuracy > 0.95, "{outcome:?}");
    assert!(outcome.before.present(0.03) < 3, "{outcome:?}");
    assert!(
        outcome.after.frechet < 0.7 * outcome.before.frechet,
        "{outcome:?}"
    );
}

#[test]
fn other_digits_are_another_run() {
    let (mnist, other, out) = (digits(20), digits(40), tempfile::tempdir().expect("a folder"));
    train(&job(mnist.path(), out.path()));
    let again = Job {
        resume: true,
        ..job(other.path(), out.path())
    };
    let error = dcgan::run(&again, |_| ());
    assert!(matches!(error, Err(LabError::Resume(ResumeError::Other { .. }))));
}

#[test]
fn gzipped_files_are_the_same_digits() {
    use std::io::Write as _;
    let (mnist, out) = (digits(20), tempfile::tempdir().expect("a folder"));
    train(&job(mnist.path(), out.path()));
    for entry in fs::read_dir(mnist.path()).expect("a folder") {
        let path = entry.expect("a file").path();
        let packed = fs::File::create(format!("{}.gz", path.display())).expect("writable");
        let mut packer = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
        packer
            .write_all(&fs::read(&path).expect("a file"))
            .expect("writable");
        packer.finish().expect("writable");
        fs::remove_file(&path).expect("removable");
    }
    let again = Job {
        resume: true,
        ..job(mnist.path(), out.path())
    };
    assert_eq!(train(&again).0, 0);
    let cut = mnist.path().join("t10k-labels-idx1-ubyte.gz");
    let bytes = fs::read(&cut).expect("a file");
    fs::write(&cut, &bytes[..bytes.len() - 9]).expect("writable");
    let error = dcgan::run(&again, |_| ());
    assert!(
        matches!(error, Err(LabError::Mnist(MnistError::Format { .. }))),
        "{error:?}"
    );
}
