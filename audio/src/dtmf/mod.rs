//! Digits: as events (RFC 4733), and as tones (ITU-T Q.23, Q.24).

mod detect;
mod event;
mod tone;

pub use detect::{Change, Detector};
pub use event::Event;
pub use tone::{MAX_FREQUENCIES, Tone};

/// The digits, by the number of their event.
const DIGITS: [char; 16] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D',
];

/// Frequencies of the rows and columns of a keypad, in Hz.
const ROWS: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];

/// Loudness of a sine of full scale in dBm0, that of µ-law (ITU-T G.711; A-law has 0.03 less).
const FULL_SCALE_DBM0: f32 = 3.17;

/// The keys by row and column, as numbers of events.
const KEYPAD: [[u8; 4]; 4] = [[1, 2, 3, 12], [4, 5, 6, 13], [7, 8, 9, 14], [10, 0, 11, 15]];

/// The number of the event of a digit (RFC 4733 §3.2).
pub fn event_of(digit: char) -> Option<u8> {
    let digit = digit.to_ascii_uppercase();
    let place = DIGITS.iter().position(|known| *known == digit)?;
    u8::try_from(place).ok()
}

/// The digit of an event.
pub fn digit_of(event: u8) -> Option<char> {
    DIGITS.get(usize::from(event)).copied()
}

/// The two frequencies of a digit in Hz: row and column.
pub fn frequencies(event: u8) -> Option<[f64; 2]> {
    let rows = KEYPAD.iter().zip(ROWS);
    let mut keys = rows.flat_map(|(keys, row)| {
        let columns = keys.iter().zip(COLUMNS);
        columns.map(move |(key, column)| (*key, [row, column]))
    });
    let found = keys.find(|(key, _)| *key == event);
    found.map(|(_, pair)| pair)
}

#[cfg(test)]
mod tests;
