//! Scales: from values to places, and where ticks stand.

use super::plot::PLACEABLE;

/// Ticks that a logarithmic axis should have at least.
const ENOUGH: usize = 4;

/// A range of values, linear or logarithmic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    log: bool,
}

impl Scale {
    /// One that holds `values`, with room to spare at both ends where it is logarithmic. A linear
    /// one starts at zero.
    pub(super) fn over(values: impl IntoIterator<Item = f64>, log: bool) -> Scale {
        let mut low = f64::MAX;
        let mut high = f64::MIN;
        for value in values {
            let value = value.clamp(0.0, *PLACEABLE.end());
            low = low.min(value);
            high = high.max(value);
        }
        if low > high {
            (low, high) = (1.0, 10.0);
        }
        let (low, high) = match log {
            true => padded(low, high),
            false => (0.0, if high > 0.0 { high * 1.06 } else { 1.0 }),
        };
        Scale { low, high, log }
    }

    /// The same with no more room than the values take.
    pub(super) fn exactly(low: f64, high: f64, log: bool) -> Scale {
        Scale { low, high, log }
    }

    /// The place of `value`: 0 at the low end, 1 at the high end.
    pub(super) fn place(&self, value: f64) -> f64 {
        let (low, high, value) = match self.log {
            true => (self.low.ln(), self.high.ln(), value.max(self.low).ln()),
            false => (self.low, self.high, value),
        };
        if high > low {
            ((value - low) / (high - low)).clamp(0.0, 1.0)
        } else {
            0.5
        }
    }

    /// Round values inside, some four to eight.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let ticks = if self.log {
            self.log_ticks()
        } else {
            self.linear_ticks()
        };
        ticks.into_iter().filter(|tick| self.holds(*tick)).collect()
    }

    /// As few steps in a decade as give enough ticks.
    fn log_ticks(&self) -> Vec<f64> {
        const STEPS: [&[f64]; 4] = [
            &[1.0],
            &[1.0, 3.0],
            &[1.0, 2.0, 5.0],
            &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0],
        ];
        let first = self.low.log10().floor() as i32;
        let last = self.high.log10().ceil() as i32;
        let ticks = |steps: &&[f64]| -> Vec<f64> {
            let decade = |power: i32| steps.iter().map(move |step| step * 10f64.powi(power));
            let all = (first..=last).flat_map(decade);
            all.filter(|tick| self.holds(*tick)).collect()
        };
        let enough = |ticks: &Vec<f64>| ticks.len() >= ENOUGH;
        let found = STEPS.iter().map(ticks).find(enough);
        found.unwrap_or_else(|| self.linear_ticks())
    }

    fn holds(&self, value: f64) -> bool {
        value >= self.low * 0.999 && value <= self.high * 1.001
    }

    fn linear_ticks(&self) -> Vec<f64> {
        let rough = (self.high - self.low) / 5.0;
        if !rough.is_finite() || rough <= 0.0 {
            return vec![self.low];
        }
        let power = 10f64.powf(rough.log10().floor());
        let fits = |step: &&f64| **step * power >= rough;
        let step = [1.0, 2.0, 2.5, 5.0, 10.0]
            .iter()
            .find(fits)
            .unwrap_or(&10.0)
            * power;
        let first = (self.low / step).ceil() as i64;
        (0..12).map(|nth| (first + nth) as f64 * step).collect()
    }
}

/// At least a factor of 1.5 from end to end, and a twelfth more at each end.
fn padded(low: f64, high: f64) -> (f64, f64) {
    let low = low.max(*PLACEABLE.start());
    let high = high.max(low);
    let room = (high / low).max(1.5).powf(1.0 / 12.0);
    let extra = (1.5 / (high / low)).max(1.0).sqrt();
    (low / room / extra, high * room * extra)
}

/// Moves labels of these heights apart, each as close as it can stay to where it wants its middle,
/// between `low` and `high`; answers in the order given.
pub(super) fn spread(wanted: &[(f64, f64)], low: f64, high: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].0.total_cmp(&wanted[*b].0));
    // Labels that touch become one stack, whose middle stands where its labels want it on average.
    let mut stacks: Vec<Stack> = Vec::new();
    for nth in order {
        let mut stack = Stack::of(nth, wanted);
        while let Some(above) = stacks.pop_if(|above| above.end(low, high) > stack.start(low, high))
        {
            stack = above.followed_by(stack, wanted);
        }
        stacks.push(stack);
    }
    let mut places = vec![0.0; wanted.len()];
    for stack in stacks {
        let mut top = stack.start(low, high);
        for nth in stack.labels {
            places[nth] = top + wanted[nth].1 / 2.0;
            top += wanted[nth].1;
        }
    }
    places
}

/// Labels directly under each other.
struct Stack {
    labels: Vec<usize>,
    height: f64,
    middle: f64,
}

impl Stack {
    fn of(nth: usize, wanted: &[(f64, f64)]) -> Stack {
        Stack {
            labels: vec![nth],
            height: wanted[nth].1,
            middle: wanted[nth].0,
        }
    }

    fn start(&self, low: f64, high: f64) -> f64 {
        (self.middle - self.height / 2.0)
            .min(high - self.height)
            .max(low)
    }

    fn end(&self, low: f64, high: f64) -> f64 {
        self.start(low, high) + self.height
    }

    fn followed_by(mut self, next: Stack, wanted: &[(f64, f64)]) -> Stack {
        self.labels.extend(next.labels);
        self.height += next.height;
        // Where the stack's middle would be if each label stood where it wants to.
        let mut above = 0.0;
        let mut sum = 0.0;
        for &nth in &self.labels {
            sum += wanted[nth].0 - above - wanted[nth].1 / 2.0;
            above += wanted[nth].1;
        }
        self.middle = sum / self.labels.len() as f64 + self.height / 2.0;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_ticks() {
        let scale = Scale::exactly(1.0, 100.0, true);
        assert!((scale.place(10.0) - 0.5).abs() < 1e-9);
        assert_eq!(scale.ticks(), [1.0, 3.0, 10.0, 30.0, 100.0]);
        let linear = Scale::over([3.0, 47.0], false);
        assert_eq!(linear.ticks(), [0.0, 10.0, 20.0, 30.0, 40.0]);
        for odd in [vec![], vec![5.0], vec![0.0], vec![1e-300, 1e300]] {
            for log in [true, false] {
                let scale = Scale::over(odd.clone(), log);
                assert!(scale.place(5.0).is_finite());
                assert!(scale.ticks().len() < 1000);
            }
        }
    }

    #[test]
    fn labels_move_apart_and_stay_inside() {
        let places = spread(&[(50.0, 10.0), (52.0, 10.0), (98.0, 10.0)], 0.0, 100.0);
        assert_eq!(places, [46.0, 56.0, 95.0]);
        let crowded = spread(&[(99.0, 10.0), (99.0, 10.0)], 0.0, 100.0);
        assert_eq!(crowded, [85.0, 95.0]);
    }
}
