//! QR codes in a terminal.
//!
//! Two modules stand above each other in one character, as half blocks, because characters are
//! about twice as high as wide. Light modules are drawn and dark ones left, which is right on a
//! dark background; phones read the inverse as well. A quiet zone of four modules stands around
//! the code, as the standard (ISO/IEC 18004) asks for.

use qrcode::{Color, EcLevel, QrCode};

use crate::error::CliError;

/// Light modules around the code.
const QUIET: usize = 4;

/// The text as a QR code, lines of half blocks.
///
/// Error correction is at its lowest level: a screen has no stains, and a smaller code is read
/// from farther away.
///
/// # Errors
///
/// Code `qr-too-long` for a text of more than a QR code can hold (some 2,900 bytes).
pub fn render(text: &str) -> Result<Vec<String>, CliError> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L)
        .map_err(|error| CliError::failed("qr-too-long", format!("no QR code: {error}")))?;
    let side = code.width();
    let colours = code.to_colors();
    let rows: Vec<&[Color]> = colours.chunks(side).collect();
    let light = |x: usize, y: usize| {
        let module = (x.checked_sub(QUIET), y.checked_sub(QUIET));
        let (Some(x), Some(y)) = module else { return true };
        rows.get(y).and_then(|row| row.get(x)) != Some(&Color::Dark)
    };
    let full = side + 2 * QUIET;
    let line = |y: usize| {
        (0..full)
            .map(|x| match (light(x, y), y + 1 < full && light(x, y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            })
            .collect()
    };
    Ok((0..full).step_by(2).map(line).collect())
}

/// Columns that the code of [`render`] takes.
#[must_use]
pub fn columns(lines: &[String]) -> usize {
    lines.first().map_or(0, |line| line.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_is_the_code() {
        let text = "lanai1qexample";
        let lines = render(text).unwrap();
        let code = QrCode::with_error_correction_level(text, EcLevel::L).unwrap();
        let full = code.width() + 2 * QUIET;
        assert_eq!(columns(&lines), full);
        assert_eq!(lines.len(), full.div_ceil(2));
        // Back from characters to modules.
        let mut dark = Vec::new();
        for line in &lines {
            let halves = |up: bool| {
                let light = move |c| matches!((c, up), ('█', _) | ('▀', true) | ('▄', false));
                line.chars().map(move |c| !light(c)).collect::<Vec<bool>>()
            };
            dark.push(halves(true));
            dark.push(halves(false));
        }
        for y in 0..full {
            for x in 0..full {
                let inside =
                    (QUIET..full - QUIET).contains(&x) && (QUIET..full - QUIET).contains(&y);
                let expected = inside && code[(x - QUIET, y - QUIET)] == Color::Dark;
                assert_eq!(dark[y][x], expected, "{x} {y}");
            }
        }
    }

    #[test]
    fn too_much_text_is_a_named_error() {
        assert_eq!(render(&"x".repeat(3000)).unwrap_err().code, "qr-too-long");
    }
}
