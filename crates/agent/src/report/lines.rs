//! Points as SVG paths: relative lines between whole drawing units.

use std::fmt::Write as _;

use super::chart::Frame;
use super::points::Point;

/// A path under construction: relative lines between whole drawing units.
#[derive(Default)]
struct Pen {
    d: String,
    /// Runs of one point, as dots: a line would not show them.
    lone: String,
    /// Where the present run begins in `d`.
    begun: usize,
    at: (i64, i64),
    /// Points drawn since the pen was last lifted.
    drawn: usize,
}

impl Pen {
    fn to(&mut self, x: f64, y: f64) {
        let (x, y) = (x.round() as i64, y.round() as i64);
        let _ = if self.drawn == 0 {
            self.begun = self.d.len();
            write!(self.d, "M{x} {y}")
        } else {
            let (dx, dy) = (x - self.at.0, y - self.at.1);
            write!(self.d, "{}{dx} {dy}", if self.drawn == 1 { "l" } else { " " })
        };
        self.at = (x, y);
        self.drawn += 1;
    }

    /// Ends a run.
    fn lift(&mut self) {
        if self.drawn == 1 {
            self.lone.push_str(&self.d[self.begun..]);
            self.lone.push_str("h0");
            self.d.truncate(self.begun);
        }
        self.drawn = 0;
    }
}

/// A column's key, and index and height of its lowest and of its highest point.
type Column = (i64, (usize, f64), (usize, f64));

/// A line through the lowest and the highest value of each column `step` wide, broken where `y` is `None`;
/// and the points that stand alone between two breaks.
pub(super) fn line(
    points: &[Point],
    frame: &Frame,
    step: f64,
    y: impl Fn(&Point) -> Option<f64>,
) -> (String, String) {
    let mut pen = Pen::default();
    let mut column: Option<Column> = None;
    let flush = |pen: &mut Pen, column: &mut Option<Column>| {
        if let Some((_, a, b)) = column.take() {
            let (first, second) = if a.0 <= b.0 { (a, b) } else { (b, a) };
            pen.to(frame.x(points[first.0].at), first.1);
            if second.0 != first.0 {
                pen.to(frame.x(points[second.0].at), second.1);
            }
        }
    };
    for (i, point) in points.iter().enumerate() {
        let Some(y) = y(point) else {
            flush(&mut pen, &mut column);
            pen.lift();
            continue;
        };
        let key = (frame.x(point.at) / step) as i64;
        match &mut column {
            Some((k, low, high)) if *k == key => {
                if y < low.1 {
                    *low = (i, y);
                }
                if y > high.1 {
                    *high = (i, y);
                }
            }
            _ => {
                flush(&mut pen, &mut column);
                column = Some((key, (i, y), (i, y)));
            }
        }
    }
    flush(&mut pen, &mut column);
    pen.lift();
    (pen.d, pen.lone)
}

/// The highest point of each column `step` wide, as dots.
pub(super) fn dots(points: &[Point], frame: &Frame, step: f64, y: impl Fn(&Point) -> Option<f64>) -> String {
    let mut pen = Pen::default();
    let mut highest: Option<(i64, f64, f64)> = None;
    for point in points {
        let Some(y) = y(point) else { continue };
        let x = frame.x(point.at);
        let key = (x / step) as i64;
        match &mut highest {
            Some((k, best_x, best)) if *k == key => {
                if y < *best {
                    (*best_x, *best) = (x, y);
                }
            }
            _ => {
                if let Some((_, x, y)) = highest.replace((key, x, y)) {
                    pen.to(x, y);
                    pen.lift();
                }
            }
        }
    }
    if let Some((_, x, y)) = highest {
        pen.to(x, y);
        pen.lift();
    }
    pen.lone
}

/// The area `expected ± threshold`, one closed shape a run, one point a column.
pub(super) fn band_path(points: &[Point], frame: &Frame, step: f64) -> String {
    let mut d = String::new();
    let mut run: Vec<(f64, f64, f64)> = Vec::new();
    let mut column = i64::MIN;
    let mut close = |run: &mut Vec<(f64, f64, f64)>| {
        let mut pen = Pen::default();
        run.iter().for_each(|(x, top, _)| pen.to(*x, *top));
        run.iter().rev().for_each(|(x, _, bottom)| pen.to(*x, *bottom));
        if !run.is_empty() {
            d.push_str(&pen.d);
            d.push('z');
            run.clear();
        }
    };
    for point in points {
        let (Some(expected), Some(threshold)) = (point.expected, point.threshold) else {
            close(&mut run);
            column = i64::MIN;
            continue;
        };
        let x = frame.x(point.at);
        let key = (x / step) as i64;
        if key != column {
            column = key;
            run.push((x, frame.y(expected + threshold), frame.y(expected - threshold)));
        }
    }
    close(&mut run);
    d
}

#[cfg(test)]
mod tests {
    use super::super::chart::WIDTH;
    use super::*;

    fn at(i: i64, value: Option<f64>) -> Point {
        Point {
            at: i * 60_000,
            value,
            ..Point::default()
        }
    }

    #[test]
    fn lines_break_at_gaps_and_lone_points_are_dots() {
        let points = [
            at(0, Some(0.0)),
            at(1, Some(1.0)),
            at(2, None),
            at(3, Some(0.5)),
            at(4, None),
        ];
        let frame = Frame::around(&points, 60_000, false);
        let d = line(&points, &frame, 1.0, |p| p.value.map(|v| frame.y(v)));
        assert_eq!(d, ("M0 955l400 -910".to_owned(), "M1200 500h0".to_owned()));
    }

    #[test]
    fn columns_keep_lowest_and_highest_in_order() {
        let points: Vec<Point> = (0..1000)
            .map(|i| {
                at(
                    i,
                    Some(if i == 500 {
                        10.0
                    } else if i == 510 {
                        -10.0
                    } else {
                        0.0
                    }),
                )
            })
            .collect();
        let frame = Frame::around(&points, 60_000, false);
        let (d, _) = line(&points, &frame, WIDTH / 10.0, |p| p.value.map(|v| frame.y(v)));
        let top = frame.y(10.0).round() - frame.y(0.0).round();
        assert!(d.contains(&format!(" {top:.0} ")), "{top} in {d}");
        assert!(d.split(' ').count() < 60, "{d}");
    }
}
