//! Trains TadGAN, and AER, and writes bundles.
//!
//! Encoder E, generator G and the critics Cx (of windows) and Cz (of latents) are trained with Wasserstein losses,
//! gradient penalties and a reconstruction error ([`steps`]), by passes written by hand: five kinds of layer do not
//! need a framework that differentiates, and the penalty's gradient is two more linear passes
//! ([`nets::Critic::penalty`]).
//!
//! From bottom to top: [`math`] (products, an LSTM cell), [`layers`], [`nets`], [`principal`] (where convolutional
//! ones start), [`steps`] (losses and gradients of a batch), [`adam`], [`trainer`] (one generator step), [`gpu`] (the
//! same on a GPU), [`batches`] and [`data`] (which windows), [`judge`] (what nets are worth) and [`course`] (which
//! epoch is best, when it is enough, what went wrong), `session` (a run as it goes), [`mod@train`] (from data to
//! bundle), [`run_dir`] with [`record`], [`plot`] and [`checkpoint`] (what it leaves as it goes), [`calibrate`],
//! [`export`] and [`bundle`] (what it ends with). [`recipe`] holds the defaults of each architecture. [`warm_start`]
//! reads the nets of a bundle, [`import`] weights of the reference. [`lab`] shows on small examples what GANs are.
//!
//! # The same seed, the same weights
//! Every random draw belongs to a stream named by seed, purpose and step ([`rng`]); a batch is computed in fixed shards
//! whose gradients are summed in order. So weights are equal bit for bit from run to run, on any number of threads,
//! and when going on from a checkpoint: what [`course`] decides is a function of rows that the run directory holds. On
//! a processor with another vector unit, products round differently.
//!
//! # What is watched
//! Once an epoch, on fixed windows and with the averaged weights; `epochs.csv` has the numbers, `losses.svg` shows them.
//!
//! | what | how | when it is bad |
//! |---|---|---|
//! | reconstruction | mean squared error on 256 windows that are trained on, and on 256 that are not | no better than the constant median on both: no bundle |
//! | spread | variance of the reconstructions over that of the windows | below 0.001, a constant: no bundle |
//! | diversity (mode collapse) | mean distance between pairs of 256 samples G(z), over that between training windows | below 0.25: collapsed, and said so |
//! | Wasserstein estimates | mean of each critic on real less on generated | over ten times the distance that is possible: the run ends |
//! | gradient norms | L2, of each net, mean of the epoch | a thousand times the median of earlier epochs: the run ends |
//! | losses, weights | | not finite: the run ends |
//!
//! # Whom we follow
//! The reference is Orion 0.7; the paper's own code is its first published version. `--arch paper` has the reference's
//! settings wherever the last column names two; the others have what gives small errors soon.
//!
//! | question | paper's code | Orion | here |
//! |---|---|---|---|
//! | architecture | bidirectional LSTMs | the same | `conv` by default, a linear map plus convolutions; `paper`; `small`, its LSTMs at a quarter of the width |
//! | sizes of E, G, Cx | 481 620, 133 787, 67 393 | the same | the same with `paper` |
//! | hidden units of Cz | 100 | 20 | 20, as Orion: the parity data has them; `--critic-z-units 100` gives the paper's |
//! | first weights | Glorot, orthogonal | the same | the same; linear maps of `conv` at the principal components of the training windows, its convolutions' last layers at zero |
//! | losses, weights 1, 1, 10 | yes | yes | with `paper`; else the reconstruction has `--reconstruction-weight` 30 |
//! | reconstruction loss of an error | its square | the same | the same; beyond a size its size, by `--huber` |
//! | unit of that weight | mean squared error | the same | the same with `paper`; else relative to what the principal components leave (`--weight-unit linear`) |
//! | sample of the penalty | one α a sample, multiplies the real one | the same | the same |
//! | dropout in the penalty's pass | on | off | off, as Orion |
//! | dropout in training, frozen nets included | on | on | on with `paper`, else off; `--dropout`, `--no-dropout` |
//! | what windows are rebuilt from | themselves | the same | the same; a share of them with a jump at their end by `--denoise` |
//! | order of updates | 5 × (Cx, Cz), then E and G | the same | the same |
//! | batches | drawn with replacement | shuffled epochs, none below 320 windows | shuffled epochs, each a keyed permutation that is computed and not stored; below 320 windows drawn |
//! | updates of E and G | 2 000 | 35 epochs, 175 to 420 on a NAB file | `--steps` or `--epochs`; by default as [`recipe`] says |
//! | steps on the reconstruction alone first | none | none | none with `paper`; else `--warm-up` |
//! | optimisers | one Adam for all | three, epsilon outside the correction | as Orion |
//! | rate | constant | constant | constant for the critics, and with `paper`; else that of E and G falls to a tenth over the warm-up (`--final-rate`) |
//! | weights that are kept | the last | the last | their moving average (`--ema`, 0: themselves) at the epoch with the least held-out error |
//! | end of training | after so many | after so many | so with `paper`; else it may come earlier: `--patience` epochs without 1 % less held-out error |
//! | data that is trained on | all | all | the first 80 % of each run; the next 10 % choose the epoch and the end, the last 10 % calibrate |
//! | range of the scaler | the whole series | the whole series | the part that is trained on |
//!
//! Why, where it is neither:
//!
//! - **Weight and unit.** At the reference's weight of 10 the critics' signals drown the reconstruction, whose error on
//!   varied series falls back to that of a flat line; the easier the series, the smaller its squared errors and the
//!   more so. On NAB's `ec2_cpu_utilization_825cc2` 200 steps at that weight bring the error from 0.45 times that of
//!   the constant median to 5 times (docs/training.md). Counted relative to what principal components leave, the
//!   critics weigh the same on easy and hard series.
//! - **Warm-up.** A step on the reconstruction alone costs an eighth of a whole generator step. In
//!   recurrent nets it pulls latents to the sphere where the prior lies: without that they drift so far that everything
//!   is lost when Cz draws them in.
//! - **Falling rate.** What the warm-up reached is fine work, which a full rate would undo.
//! - **Principal components.** They are the best linear reconstruction. Whitened, they also give latents of the
//!   prior's mean and variance, so that Cz has little to move.
//! - **Best epoch, early end, three slices.** The loss of a GAN does not say when it is good; the error on windows that
//!   took no gradient step does. Windows that have chosen no longer calibrate, so there are three slices.
//! - **Batches.** With replacement, anything longer than a window trains. An order that is a function needs no memory,
//!   and going on from a checkpoint no state.
//!
//! # AER
//! `train aer` trains the sibling that reconstructs the inner values of a window and predicts its first and its last
//! ([`nets::AerEncoder`], [`nets::AerDecoder`], [`nets::AerLoss`]): 29 581 parameters, no critics, one optimiser, one
//! batch a step. Data, run directory, checkpoints and bundle are as TadGAN's.
//!
//! | question | its authors, as Orion has it | here |
//! |---|---|---|
//! | nets; loss; Adam at 0.001; batches of 64 | | the same |
//! | scaling | the range of the series onto [-1, 1] | each window by its own, but for the value that is to be predicted; `--scaler minmax` |
//! | end of training | 35 epochs, or 10 without 0.0003 less held-out loss | 5 000 steps, or 10 epochs without 1 % less |
//! | weights that are kept | the last | their moving average at the epoch with the least held-out loss |
//! | held out | the last fifth of all windows | the last fifth of each run, half of it to stop, half to calibrate |
//!
//! Scaled by their own, windows have losses between 0.02 and 0.1, where 0.0003 is about 1 %. Scaled by the range, a series
//! with rare spikes has a loss near 0.001, and the authors' rule ends while there is much to learn.

pub mod adam;
pub mod batches;
pub mod bundle;
pub mod calibrate;
pub mod checkpoint;
pub mod course;
pub mod data;
pub mod denoise;
pub mod export;
pub mod files;
pub mod gpu;
pub mod import;
pub mod judge;
pub mod lab;
pub mod layers;
pub mod math;
pub mod nets;
pub mod params;
pub mod plot;
pub mod principal;
pub mod recipe;
pub mod record;
pub mod rng;
pub mod run_dir;
mod session;
pub mod steps;
pub mod train;
pub mod trainer;
pub mod warm_start;
