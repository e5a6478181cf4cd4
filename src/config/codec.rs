//! Text forms of one setting: in TOML, and as an rtpengine option.

use windlass_toml::Value;

use std::fmt::Display;
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use toml::de::DeValue;

/// Reads and writes the values of one setting.
pub(super) trait Codec<T> {
    /// Description of a valid value, for error messages.
    fn expected(&self) -> String;
    /// The value of a TOML value, if it is one.
    fn read(&self, value: &DeValue<'_>) -> Option<T>;
    /// The wrong parts of an invalid TOML value, each with what is expected there.
    fn mistakes<'v, 'i>(&self, value: &'v Value<'i>) -> Vec<(&'v Value<'i>, String)> {
        vec![(value, self.expected())]
    }
    /// The value of an option's text, if it is one.
    fn parse(&self, text: &str) -> Option<T>;
    /// The value as TOML; `None` if it is written by leaving the key out.
    fn write(&self, value: &T) -> Option<String>;
    /// The value as the text of an option, for people: without passwords.
    fn show(&self, value: &T) -> String {
        self.write(value).unwrap_or_else(|| NONE.to_owned())
    }
}

/// rtpengine's text for a setting without a value.
pub(super) const NONE: &str = "(null)";

/// `true` or `false`.
pub(super) struct Flag;

impl Codec<bool> for Flag {
    fn expected(&self) -> String {
        "true or false".to_owned()
    }

    fn read(&self, value: &DeValue<'_>) -> Option<bool> {
        value.as_bool()
    }

    fn parse(&self, text: &str) -> Option<bool> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" => Some(false),
            _ => None,
        }
    }

    fn write(&self, value: &bool) -> Option<String> {
        Some(value.to_string())
    }

    fn show(&self, value: &bool) -> String {
        u8::from(*value).to_string()
    }
}

/// A flag that rtpengine says the other way round: `no-…`.
pub(super) struct Not;

impl Codec<bool> for Not {
    fn expected(&self) -> String {
        Flag.expected()
    }

    fn read(&self, value: &DeValue<'_>) -> Option<bool> {
        Flag.read(value)
    }

    fn parse(&self, text: &str) -> Option<bool> {
        Flag.parse(text).map(|flag| !flag)
    }

    fn write(&self, value: &bool) -> Option<String> {
        Flag.write(value)
    }

    fn show(&self, value: &bool) -> String {
        Flag.show(&!value)
    }
}

/// A whole number of a range.
pub(super) struct Whole(pub(super) RangeInclusive<u64>);

impl<T: TryFrom<u64> + Into<u64> + Copy> Codec<T> for Whole {
    fn expected(&self) -> String {
        format!("a whole number from {} to {}", self.0.start(), self.0.end())
    }

    fn read(&self, value: &DeValue<'_>) -> Option<T> {
        let integer = value.as_integer()?;
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok()?;
        self.0.contains(&number).then(|| T::try_from(number).ok())?
    }

    fn parse(&self, text: &str) -> Option<T> {
        let number = u64::try_from(integer(text)?).ok()?;
        self.0.contains(&number).then(|| T::try_from(number).ok())?
    }

    fn write(&self, value: &T) -> Option<String> {
        Some((*value).into().to_string())
    }
}

/// A whole number that an option may also give as a negative one, which means none.
pub(super) struct WholeOrNone(pub(super) RangeInclusive<u64>);

impl<T: TryFrom<u64> + Into<u64> + Copy> Codec<Option<T>> for WholeOrNone {
    fn expected(&self) -> String {
        Codec::<T>::expected(&Whole(self.0.clone()))
    }

    fn read(&self, value: &DeValue<'_>) -> Option<Option<T>> {
        Whole(self.0.clone()).read(value).map(Some)
    }

    fn parse(&self, text: &str) -> Option<Option<T>> {
        if integer(text)? < 0 {
            return Some(None);
        }
        Whole(self.0.clone()).parse(text).map(Some)
    }

    fn write(&self, value: &Option<T>) -> Option<String> {
        Whole(self.0.clone()).write(value.as_ref()?)
    }

    fn show(&self, value: &Option<T>) -> String {
        self.write(value).unwrap_or_else(|| "-1".to_owned())
    }
}

/// A number above zero; zero or less means none.
pub(super) struct Above;

impl Codec<Option<f64>> for Above {
    fn expected(&self) -> String {
        "a number such as 0.8 or 90".to_owned()
    }

    fn read(&self, value: &DeValue<'_>) -> Option<Option<f64>> {
        let text = match value {
            DeValue::Float(number) => number.as_str(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            _ => return None,
        };
        self.parse(text)
    }

    fn parse(&self, text: &str) -> Option<Option<f64>> {
        let number: f64 = text.parse().ok()?;
        number
            .is_finite()
            .then(|| Some(number).filter(|number| *number > 0.0))
    }

    fn write(&self, value: &Option<f64>) -> Option<String> {
        value.map(|number| format!("{number:?}"))
    }
}

/// A time in whole seconds.
pub(super) struct Seconds(pub(super) RangeInclusive<u64>);

impl Codec<Duration> for Seconds {
    fn expected(&self) -> String {
        format!(
            "{} (seconds)",
            Codec::<u64>::expected(&Whole(self.0.clone()))
        )
    }

    fn read(&self, value: &DeValue<'_>) -> Option<Duration> {
        Whole(self.0.clone()).read(value).map(Duration::from_secs)
    }

    fn parse(&self, text: &str) -> Option<Duration> {
        Whole(self.0.clone()).parse(text).map(Duration::from_secs)
    }

    fn write(&self, value: &Duration) -> Option<String> {
        Some(value.as_secs().to_string())
    }
}

/// A time in whole milliseconds.
pub(super) struct Millis(pub(super) RangeInclusive<u64>);

impl Codec<Duration> for Millis {
    fn expected(&self) -> String {
        format!(
            "{} (milliseconds)",
            Codec::<u64>::expected(&Whole(self.0.clone()))
        )
    }

    fn read(&self, value: &DeValue<'_>) -> Option<Duration> {
        Whole(self.0.clone()).read(value).map(Duration::from_millis)
    }

    fn parse(&self, text: &str) -> Option<Duration> {
        Whole(self.0.clone()).parse(text).map(Duration::from_millis)
    }

    fn write(&self, value: &Duration) -> Option<String> {
        Some(value.as_millis().to_string())
    }
}

/// One of several words; an option may be in any case.
pub(super) struct Word<T: 'static>(pub(super) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Codec<T> for Word<T> {
    fn expected(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(|(name, _)| *name).collect();
        format!("one of {}", names.join(", "))
    }

    fn read(&self, value: &DeValue<'_>) -> Option<T> {
        self.parse(value.as_str()?)
    }

    fn parse(&self, text: &str) -> Option<T> {
        let mut words = self.0.iter();
        let found = words.find(|(name, _)| name.eq_ignore_ascii_case(text));
        found.map(|(_, meaning)| *meaning)
    }

    fn write(&self, value: &T) -> Option<String> {
        let mut words = self.0.iter();
        let found = words.find(|(_, meaning)| meaning == value);
        found.map(|(name, _)| quoted(name))
    }

    fn show(&self, value: &T) -> String {
        let mut words = self.0.iter();
        let found = words.find(|(_, meaning)| meaning == value);
        found.map_or(NONE, |(name, _)| name).to_owned()
    }
}

/// A type with a text form of its own.
pub(super) struct Text<T> {
    expected: &'static str,
    of: PhantomData<T>,
}

/// Text that is a `T`; `expected` says what it looks like.
pub(super) const fn text<T>(expected: &'static str) -> Text<T> {
    Text {
        expected,
        of: PhantomData,
    }
}

impl<T: FromStr + Display> Codec<T> for Text<T> {
    fn expected(&self) -> String {
        self.expected.to_owned()
    }

    fn read(&self, value: &DeValue<'_>) -> Option<T> {
        value.as_str()?.parse().ok()
    }

    fn parse(&self, text: &str) -> Option<T> {
        text.parse().ok()
    }

    fn write(&self, value: &T) -> Option<String> {
        Some(quoted(&value.to_string()))
    }

    fn show(&self, value: &T) -> String {
        shown(&value.to_string())
    }
}

/// A name of letters, digits and `-`; any other character becomes a `-`.
pub(super) struct Identifier;

impl Codec<String> for Identifier {
    fn expected(&self) -> String {
        "a string".to_owned()
    }

    fn read(&self, value: &DeValue<'_>) -> Option<String> {
        value.as_str().map(identifier)
    }

    fn parse(&self, text: &str) -> Option<String> {
        Some(identifier(text))
    }

    fn write(&self, value: &String) -> Option<String> {
        Some(quoted(value))
    }

    fn show(&self, value: &String) -> String {
        value.clone()
    }
}

/// The text as an [`Identifier`] is read.
pub(super) fn identifier(text: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    text.chars().map(fits).collect()
}

/// A setting that need not be; an option without text is none.
pub(super) struct Maybe<C>(pub(super) C);

impl<T, C: Codec<T>> Codec<Option<T>> for Maybe<C> {
    fn expected(&self) -> String {
        self.0.expected()
    }

    fn read(&self, value: &DeValue<'_>) -> Option<Option<T>> {
        self.0.read(value).map(Some)
    }

    fn parse(&self, text: &str) -> Option<Option<T>> {
        if text.is_empty() {
            return Some(None);
        }
        self.0.parse(text).map(Some)
    }

    fn write(&self, value: &Option<T>) -> Option<String> {
        self.0.write(value.as_ref()?)
    }

    fn show(&self, value: &Option<T>) -> String {
        value
            .as_ref()
            .map_or_else(|| NONE.to_owned(), |value| self.0.show(value))
    }
}

/// Several; separated by `;` in an option.
pub(super) struct List<C>(pub(super) C);

impl<T, C: Codec<T>> Codec<Vec<T>> for List<C> {
    fn expected(&self) -> String {
        format!("a list, each entry {}", self.0.expected())
    }

    fn read(&self, value: &DeValue<'_>) -> Option<Vec<T>> {
        let entries = value.as_array()?.iter();
        entries.map(|entry| self.0.read(entry.get_ref())).collect()
    }

    fn mistakes<'v, 'i>(&self, value: &'v Value<'i>) -> Vec<(&'v Value<'i>, String)> {
        let Some(entries) = value.get_ref().as_array() else {
            return vec![(value, Codec::<Vec<T>>::expected(self))];
        };
        let wrong = entries
            .iter()
            .filter(|entry| self.0.read(entry.get_ref()).is_none());
        wrong.flat_map(|entry| self.0.mistakes(entry)).collect()
    }

    fn parse(&self, text: &str) -> Option<Vec<T>> {
        let entries = text.split(';').map(str::trim);
        let entries = entries.filter(|entry| !entry.is_empty());
        entries.map(|entry| self.0.parse(entry)).collect()
    }

    fn write(&self, value: &Vec<T>) -> Option<String> {
        let entries: Option<Vec<String>> = value.iter().map(|entry| self.0.write(entry)).collect();
        Some(format!("[{}]", entries?.join(", ")))
    }

    fn show(&self, value: &Vec<T>) -> String {
        let entries: Vec<String> = value.iter().map(|entry| self.0.show(entry)).collect();
        entries.join(";")
    }
}

/// A number as an option may write it: with a sign, and in hexadecimal.
pub(super) fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let hexadecimal = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"));
    let number = match hexadecimal {
        Some(digits) => i64::from_str_radix(digits, 16).ok()?,
        None => digits.parse().ok()?,
    };
    Some(if negative { -number } else { number })
}

/// Text as it may appear in a message: what stands before `@` may be a password.
pub(super) fn shown(text: &str) -> String {
    text.rsplit_once('@')
        .map_or_else(|| text.to_owned(), |(_, rest)| format!("…@{rest}"))
}

/// Text as a TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal_or_hexadecimal() {
        assert_eq!(integer("184"), Some(184));
        assert_eq!(integer("0xb8"), Some(184));
        assert_eq!(integer("-1"), Some(-1));
        for bad in ["", "-", "--1", "60s", "0x", "+-1", "1.5"] {
            assert_eq!(integer(bad), None, "{bad}");
        }
    }

    #[test]
    fn written_values_are_toml() {
        let path: Text<String> = text("a path");
        let written = path.write(&"a\"b\\c\n".to_owned()).unwrap();
        let table: toml::Table = format!("x = {written}").parse().unwrap();
        assert_eq!(table["x"].as_str(), Some("a\"b\\c\n"));
        assert_eq!(Above.write(&Some(8.0)), Some("8.0".to_owned()));
        assert_eq!(Above.write(&None), None);
        let list = List(Whole(0..=9));
        assert_eq!(
            Codec::<Vec<u8>>::write(&list, &vec![1, 2]),
            Some("[1, 2]".to_owned())
        );
    }
}
