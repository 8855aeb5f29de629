//! How many points would have to move for the newest one.

use std::collections::VecDeque;

use super::super::intervals::splitmix64;
use super::{Detector, Point};

/// Trees.
const TREES: usize = 50;
/// Points a tree holds.
const SAMPLE: usize = 256;
/// Buckets that make a point. A longer shingle holds a spike as long, and flags it as often.
const SHINGLE: usize = 1;
/// Chance with which a full tree takes a point in for one drawn at random: it remembers some 2560 of them.
const RENEWAL: f64 = 0.1;
/// Points seen before a displacement means anything.
const LEAST: usize = 100;
/// Share of a tree's points displaced at the boundary 1.
const BOUNDARY: f64 = 0.5;
const SEED: u64 = 1;

/// Robust random cut forest (Guha, Mishra, Roy and Schrijvers, ICML 2016) over shingles of the last [`SHINGLE`] values. A point's
/// displacement in a tree is the number of points that move one level down when it comes in; its expectation over the cuts
/// that would be drawn is computed without putting the point in. The mean over the trees is the score, as a share of the points held: it
/// has one scale for all series. Standard deviations from its own running mean order series less well.
#[derive(Clone, Debug)]
pub(super) struct RandomCutForest {
    shingle: VecDeque<f64>,
    trees: Vec<Tree>,
    random: u64,
}

impl Default for RandomCutForest {
    fn default() -> Self {
        Self {
            shingle: VecDeque::new(),
            trees: vec![Tree::default(); TREES],
            random: SEED,
        }
    }
}

impl Detector for RandomCutForest {
    fn score(&mut self, point: Point) -> Option<f64> {
        self.shingle.push_back(point.value);
        while self.shingle.len() > SHINGLE {
            self.shingle.pop_front();
        }
        if self.shingle.len() < SHINGLE {
            return None;
        }
        let point: Vec<f64> = self.shingle.iter().copied().collect();
        let sum: f64 = self.trees.iter().map(|tree| tree.displacement(&point)).sum();
        let displacement = sum / TREES as f64;
        let held = self.trees.first().map_or(0, |tree| tree.members.len());
        for tree in &mut self.trees {
            if tree.members.len() < SAMPLE {
                tree.insert(&point, &mut self.random);
            } else if uniform(&mut self.random) < RENEWAL {
                tree.forget_one(&mut self.random);
                tree.insert(&point, &mut self.random);
            }
        }
        (held >= LEAST).then_some(displacement / BOUNDARY)
    }
}

/// A tree of random cuts; its nodes by number.
#[derive(Clone, Debug, Default)]
struct Tree {
    nodes: Vec<Node>,
    unused: Vec<usize>,
    root: Option<usize>,
    /// The leaf of each point held.
    members: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Node {
    parent: Option<usize>,
    /// Points below.
    mass: usize,
    /// The smallest box around them, by dimension; of a leaf the point itself.
    bounds: Vec<(f64, f64)>,
    cut: Option<Cut>,
}

/// Points with a coordinate of at most `at` are below `left`.
#[derive(Clone, Copy, Debug)]
struct Cut {
    dimension: usize,
    at: f64,
    left: usize,
    right: usize,
}

impl Cut {
    fn side(&self, point: &[f64]) -> usize {
        if point[self.dimension] <= self.at {
            self.left
        } else {
            self.right
        }
    }
}

impl Tree {
    /// Expected share of the tree's points that `point` would displace. On the way that it would take, a node's box with the point in
    /// it is cut between both with the chance that is the box's growth over its new size, and then all below it is displaced.
    fn displacement(&self, point: &[f64]) -> f64 {
        let (mut next, mut reached, mut expected) = (self.root, 1.0, 0.0);
        while let Some(node) = next.map(|at| &self.nodes[at]) {
            let (size, growth) = size_and_growth(&node.bounds, point);
            let apart = if growth > 0.0 {
                growth / (size + growth)
            } else {
                0.0
            };
            expected += reached * apart * node.mass as f64;
            reached *= 1.0 - apart;
            if reached <= 0.0 {
                break;
            }
            next = node.cut.map(|cut| cut.side(point));
        }
        expected / self.members.len().max(1) as f64
    }

    fn insert(&mut self, point: &[f64], random: &mut u64) {
        let Some(mut at) = self.root else {
            let leaf = self.leaf(point, None);
            self.root = Some(leaf);
            self.members.push(leaf);
            return;
        };
        loop {
            let (size, growth) = size_and_growth(&self.nodes[at].bounds, point);
            if size + growth == 0.0 {
                // The very point that the leaf holds.
                self.nodes[at].mass += 1;
                self.members.push(at);
                return;
            }
            let (dimension, place) = draw(&self.nodes[at].bounds, point, uniform(random) * (size + growth));
            let (low, high) = self.nodes[at].bounds[dimension];
            let alone = if place >= high {
                Some(false)
            } else {
                (place < low).then_some(true)
            };
            if let Some(left) = alone {
                let leaf = self.split(at, point, dimension, place, left);
                self.members.push(leaf);
                return;
            }
            let node = &mut self.nodes[at];
            node.mass += 1;
            grow(&mut node.bounds, point);
            match node.cut {
                Some(cut) => at = cut.side(point),
                // Not reached: a leaf's box has no inside to be cut.
                None => return,
            }
        }
    }

    /// Puts a cut over node `at` that parts `point` from it; gives the point's leaf.
    fn split(&mut self, at: usize, point: &[f64], dimension: usize, place: f64, left: bool) -> usize {
        let parent = self.nodes[at].parent;
        let mut bounds = self.nodes[at].bounds.clone();
        grow(&mut bounds, point);
        let leaf = self.leaf(point, None);
        let (left, right) = if left { (leaf, at) } else { (at, leaf) };
        let cut = Cut {
            dimension,
            at: place,
            left,
            right,
        };
        let over = self.node(Node {
            parent,
            mass: self.nodes[at].mass + 1,
            bounds,
            cut: Some(cut),
        });
        self.replace(parent, at, over);
        self.nodes[at].parent = Some(over);
        self.nodes[leaf].parent = Some(over);
        leaf
    }

    /// Forgets a point drawn at random.
    fn forget_one(&mut self, random: &mut u64) {
        let drawn = (uniform(random) * self.members.len() as f64) as usize;
        let leaf = self.members.swap_remove(drawn.min(self.members.len() - 1));
        self.nodes[leaf].mass -= 1;
        let mut above = self.nodes[leaf].parent;
        if self.nodes[leaf].mass == 0 {
            self.unused.push(leaf);
            above = self.join(leaf);
        }
        while let Some(at) = above {
            self.nodes[at].mass -= 1;
            if let Some(cut) = self.nodes[at].cut {
                let right = self.nodes[cut.right].bounds.clone();
                let mut bounds = std::mem::take(&mut self.nodes[at].bounds);
                for (d, bound) in bounds.iter_mut().enumerate() {
                    let left = self.nodes[cut.left].bounds[d];
                    *bound = (left.0.min(right[d].0), left.1.max(right[d].1));
                }
                self.nodes[at].bounds = bounds;
            }
            above = self.nodes[at].parent;
        }
    }

    /// Puts the sibling of an empty leaf in the place of their parent; gives what is above that.
    fn join(&mut self, leaf: usize) -> Option<usize> {
        let Some(parent) = self.nodes[leaf].parent else {
            self.root = None;
            return None;
        };
        let above = self.nodes[parent].parent;
        if let Some(cut) = self.nodes[parent].cut {
            let sibling = if cut.left == leaf { cut.right } else { cut.left };
            self.nodes[sibling].parent = above;
            self.replace(above, parent, sibling);
        }
        self.unused.push(parent);
        above
    }

    /// Puts node `new` below `parent`, or at the root, where `old` is.
    fn replace(&mut self, parent: Option<usize>, old: usize, new: usize) {
        match parent.and_then(|p| self.nodes[p].cut.as_mut()) {
            Some(cut) if cut.left == old => cut.left = new,
            Some(cut) => cut.right = new,
            None => self.root = Some(new),
        }
    }

    fn leaf(&mut self, point: &[f64], parent: Option<usize>) -> usize {
        self.node(Node {
            parent,
            mass: 1,
            bounds: point.iter().map(|x| (*x, *x)).collect(),
            cut: None,
        })
    }

    fn node(&mut self, node: Node) -> usize {
        if let Some(at) = self.unused.pop() {
            self.nodes[at] = node;
            return at;
        }
        self.nodes.push(node);
        self.nodes.len() - 1
    }
}

/// Sum of a box's sides, and how much it would grow by `point`.
fn size_and_growth(bounds: &[(f64, f64)], point: &[f64]) -> (f64, f64) {
    let sides = bounds.iter().zip(point);
    sides.fold((0.0, 0.0), |(size, growth), ((low, high), x)| {
        (size + high - low, growth + (low - x).max(x - high).max(0.0))
    })
}

/// Dimension and place of the cut that lies `along` the sides, one after the other, of the box with `point` in it.
fn draw(bounds: &[(f64, f64)], point: &[f64], mut along: f64) -> (usize, f64) {
    let mut last = (0, 0.0);
    for (dimension, ((low, high), x)) in bounds.iter().zip(point).enumerate() {
        let (low, high) = (low.min(*x), high.max(*x));
        if high <= low {
            continue;
        }
        if along < high - low && low + along < high {
            return (dimension, low + along);
        }
        along -= high - low;
        last = (dimension, low);
    }
    // Rounding has led past the end.
    last
}

fn grow(bounds: &mut [(f64, f64)], point: &[f64]) {
    for (bound, x) in bounds.iter_mut().zip(point) {
        *bound = (bound.0.min(*x), bound.1.max(*x));
    }
}

/// The next number in [0, 1).
fn uniform(random: &mut u64) -> f64 {
    (splitmix64(random) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use types::Timestamp;

    fn tree(points: &[Vec<f64>], random: &mut u64) -> Tree {
        let mut tree = Tree::default();
        points.iter().for_each(|p| tree.insert(p, random));
        tree
    }

    /// Points 0 and 1 on a line: whatever the cut, a point at 3 grows the root's box from 1 to 3, is parted from both with chance 2/3, and
    /// else goes down to 1, from which it is parted for certain.
    #[test]
    fn displacement_by_hand() {
        let two = tree(&[vec![0.0], vec![1.0]], &mut 7);
        let expected = (2.0 / 3.0 * 2.0 + 1.0 / 3.0 * 1.0) / 2.0;
        assert!((two.displacement(&[3.0]) - expected).abs() < 1e-12);
        assert_eq!(two.displacement(&[1.0]), 0.0);
        assert_eq!(two.displacement(&[0.5]), 0.5);
        assert_eq!(Tree::default().displacement(&[0.5]), 0.0);
    }

    /// The expectation is what putting the point in really displaces, on average.
    #[test]
    fn displacement_is_what_insertion_displaces() {
        let points: Vec<Vec<f64>> = (0..12)
            .map(|i| vec![f64::from(i * i % 7), f64::from(i)])
            .collect();
        let mut random = 3;
        let before = tree(&points, &mut random);
        let point = vec![9.0, 5.5];
        let draws = 20_000;
        let moved: usize = (0..draws)
            .map(|_| {
                let mut after = before.clone();
                after.insert(&point, &mut random);
                let leaf = after.members[12];
                after.nodes[after.nodes[leaf].parent.unwrap()].mass - 1
            })
            .sum();
        let mean = moved as f64 / draws as f64 / 12.0;
        assert!(
            (mean - before.displacement(&point)).abs() < 0.01,
            "{mean} {}",
            before.displacement(&point)
        );
    }

    fn check(tree: &Tree, at: usize) -> usize {
        let node = &tree.nodes[at];
        let Some(cut) = node.cut else { return node.mass };
        for child in [cut.left, cut.right] {
            assert_eq!(tree.nodes[child].parent, Some(at));
        }
        let (left, right) = (&tree.nodes[cut.left].bounds, &tree.nodes[cut.right].bounds);
        for (d, (low, high)) in node.bounds.iter().enumerate() {
            assert_eq!(
                (*low, *high),
                (left[d].0.min(right[d].0), left[d].1.max(right[d].1))
            );
        }
        assert!(left[cut.dimension].1 <= cut.at && cut.at < right[cut.dimension].0);
        let mass = check(tree, cut.left) + check(tree, cut.right);
        assert_eq!(mass, node.mass);
        mass
    }

    proptest! {
        /// Boxes, masses and cuts fit the points held, whatever came and went; equal points among them.
        #[test]
        fn a_tree_stays_one(points in proptest::collection::vec((0i32..4, 0i32..4), 1..60), drops in 0usize..60, seed in 0u64..1000) {
            let points: Vec<Vec<f64>> = points.iter().map(|(a, b)| vec![f64::from(*a), 0.1 * f64::from(*b)]).collect();
            let mut random = seed;
            let mut tree = tree(&points, &mut random);
            let drops = drops.min(points.len());
            for _ in 0..drops {
                tree.forget_one(&mut random);
            }
            let mass = tree.root.map_or(0, |root| check(&tree, root));
            prop_assert_eq!(mass, points.len() - drops);
            prop_assert_eq!(tree.members.len(), mass);
        }
    }

    #[test]
    fn a_spike_stands_out_whatever_the_units() {
        let value = |i: usize| (i as f64 * 0.3).sin() + if i == 900 { 4.0 } else { 0.0 };
        let run = |unit: f64| -> Vec<Option<f64>> {
            let mut forest = RandomCutForest::default();
            let point = |i| Point {
                start: Timestamp::from_millis(0),
                value: unit * value(i),
                filled: false,
            };
            (0..=900).map(|i| forest.score(point(i))).collect()
        };
        let found = run(1.0);
        assert!(found[900].unwrap() > 1.0, "{:?}", found[900]);
        let (last, calm) = found.split_last().unwrap();
        assert!(calm.iter().flatten().all(|s| s < &last.unwrap()));
        // A power of two: the same cuts, to the bit.
        assert_eq!(found, run(1024.0));
    }
}
