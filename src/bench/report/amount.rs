//! Figures as people read them: separators, units, three significant figures.

/// The unit of an axis or a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// A number of things.
    Count,
    /// Microseconds.
    Micros,
    /// Operations per second.
    PerSecond,
    /// 10⁶ bytes per second.
    MbPerSecond,
    /// Bytes.
    Bytes,
    /// 2²⁰ bytes.
    Mib,
    /// A share of one.
    Share,
}

impl Unit {
    /// `value` with its unit, rounded to three significant figures; "–" for what is no number.
    pub(super) fn text(self, value: f64) -> String {
        if !value.is_finite() {
            return "–".to_owned();
        }
        match self {
            Unit::Count => number(value),
            Unit::Micros => micros(value),
            Unit::PerSecond => format!("{}/s", number(value)),
            Unit::MbPerSecond => format!("{} MB/s", number(value)),
            Unit::Bytes => bytes(value),
            Unit::Mib => format!("{} MiB", number(value)),
            Unit::Share => format!("{} %", number(value * 100.0)),
        }
    }
}

/// Three significant figures, with thousands separators.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    if value.abs() >= 1e15 || value.abs() < 1e-4 {
        return format!("{value:.2e}");
    }
    let magnitude = value.abs().log10().floor() as i32;
    let step = 10f64.powi(magnitude - 2);
    let rounded = (value / step).round() * step;
    let decimals = (2 - magnitude).clamp(0, 6) as usize;
    let text = format!("{rounded:.decimals$}");
    if decimals == 0 {
        return grouped(&text);
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// All digits of a whole number, with thousands separators.
pub(super) fn whole(value: f64) -> String {
    if value.is_finite() && value.abs() < 1e15 {
        grouped(&format!("{value:.0}"))
    } else {
        number(value)
    }
}

/// A ratio to two places.
pub(super) fn ratio(value: f64) -> String {
    match value {
        value if !value.is_finite() => "–".to_owned(),
        value if value.abs() < 10.0 => format!("{value:.2}"),
        value => number(value),
    }
}

/// `181,000 messages/s`.
pub(super) fn rate(per_second: f64, what: &str) -> String {
    format!("{} {what}/s", number(per_second))
}

/// `1 peer`, `64 peers`.
pub(super) fn plural(count: f64, one: &str, many: &str) -> String {
    format!("{} {}", whole(count), if count == 1.0 { one } else { many })
}

fn micros(value: f64) -> String {
    match value.abs() {
        small if small < 999.5 => format!("{} µs", number(value)),
        middle if middle < 999.5e3 => format!("{} ms", number(value / 1e3)),
        _ => format!("{} s", number(value / 1e6)),
    }
}

fn bytes(value: f64) -> String {
    for (unit, factor) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        let amount = value / f64::from(1u32 << factor);
        if amount >= 1.0 && amount.fract() == 0.0 {
            return format!("{} {unit}", number(amount));
        }
    }
    format!("{} B", number(value))
}

/// Digits in threes.
fn grouped(digits: &str) -> String {
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", digits),
    };
    let mut text = String::from(sign);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        for (unit, value, text) in [
            (Unit::Micros, 118.4, "118 µs"),
            (Unit::Micros, 2_712_345.0, "2.71 s"),
            (Unit::Micros, 999.7, "1 ms"),
            (Unit::PerSecond, 181_499.0, "181,000/s"),
            (Unit::MbPerSecond, 0.512, "0.512 MB/s"),
            (Unit::Bytes, 1024.0, "1 KiB"),
            (Unit::Bytes, 100.0, "100 B"),
            (Unit::Bytes, 1_000_000.0, "1,000,000 B"),
            (Unit::Share, 0.25, "25 %"),
            (Unit::Count, 1_000_000.0, "1,000,000"),
            (Unit::Count, f64::NAN, "–"),
            (Unit::Count, 0.0, "0"),
        ] {
            assert_eq!(unit.text(value), text);
        }
        assert_eq!(ratio(0.968), "0.97");
        assert_eq!(whole(-1234.0), "-1,234");
        assert_eq!(plural(1.0, "peer", "peers"), "1 peer");
    }
}
