//! The colours, told apart by people who see colours differently (Okabe and Ito's set, darkened
//! where text in them would be faint on white), and their counterparts on a dark page.

use std::fmt::Write as _;

use super::super::plot::Ink;

/// Red, green, blue.
pub(super) type Rgb = (u8, u8, u8);

/// On white, and on a dark page.
const SERIES: [(Rgb, Rgb); 6] = [
    ((0x00, 0x66, 0xA8), (0x5C, 0xB8, 0xF0)),
    ((0xC8, 0x4E, 0x00), (0xFF, 0x8F, 0x4D)),
    ((0x00, 0x80, 0x5E), (0x2F, 0xCB, 0x9C)),
    ((0xA8, 0x4B, 0x86), (0xE8, 0xA0, 0xCB)),
    ((0x8F, 0x6A, 0x00), (0xE8, 0xBE, 0x3F)),
    ((0x2B, 0x7F, 0x99), (0x86, 0xD3, 0xEA)),
];

const INKS: [(Ink, Rgb, Rgb); 6] = [
    (Ink::Paper, (0xFF, 0xFF, 0xFF), (0x16, 0x1B, 0x22)),
    (Ink::Text, (0x1F, 0x23, 0x28), (0xE6, 0xED, 0xF3)),
    (Ink::Muted, (0x57, 0x60, 0x6A), (0xA3, 0xAC, 0xB6)),
    (Ink::Grid, (0xE4, 0xE7, 0xEB), (0x2D, 0x33, 0x3B)),
    (Ink::Baseline, (0x6E, 0x77, 0x81), (0x9D, 0xA5, 0xAE)),
    (Ink::Band, (0xF3, 0xEB, 0xDD), (0x3A, 0x33, 0x26)),
];

/// The colour on white.
pub(super) fn rgb(ink: Ink) -> Rgb {
    let fixed = INKS.iter().find(|(other, ..)| *other == ink);
    match (ink, fixed) {
        (Ink::Series(nth), _) => SERIES[nth % SERIES.len()].0,
        (_, Some((_, light, _))) => *light,
        (_, None) => (0, 0, 0),
    }
}

/// Style rules that turn the colours of inline SVG into those of a dark page.
pub(in super::super) fn dark_css() -> String {
    let pairs = INKS.iter().map(|(_, light, dark)| (light, dark));
    let pairs = pairs.chain(SERIES.iter().map(|(light, dark)| (light, dark)));
    pairs.fold(String::new(), |mut css, (light, dark)| {
        let (light, dark) = (hex(*light), hex(*dark));
        for what in ["fill", "stroke"] {
            // Writing to a String does not fail.
            let _ = writeln!(css, "  svg [{what}=\"{light}\"] {{ {what}: {dark}; }}");
        }
        css
    })
}

/// As plotters writes it.
fn hex((red, green, blue): Rgb) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}
