//! Groups of simple settings: one line per setting says its type, default, TOML key and the name it
//! has in rtpengine; reading, writing and defaults follow from it.
//!
//! Not for settings that depend on each other: those go through the draft and `check`.

use toml::de::{DeTable, DeValue};
use windlass_toml::Reader;

use super::codec::{Codec, NONE, shown};

/// Settings that stand in one section of the file.
pub(super) trait Group: Default {
    /// The name of the section.
    const SECTION: &'static str;
    /// The keys of the section.
    const KEYS: &'static [&'static str];

    /// Takes the values of the section; the reader notes mistakes.
    fn read(&mut self, reader: &mut Reader<'_>, table: &DeTable<'_>);

    /// Key and value, as TOML, of every setting that is not at its default.
    fn lines(&self) -> Vec<(&'static str, String)>;

    /// Takes the value of an rtpengine option; `None` if the option is of another group.
    fn set(&mut self, option: &str, text: &str) -> Option<Result<(), String>>;

    /// Every rtpengine option of the group with its value, for people.
    fn options(&self) -> Vec<(&'static str, String)>;

    /// Reads the section out of a whole file.
    fn section(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Self {
        let mut group = Self::default();
        if let Some(table) = reader.section(root, Self::SECTION, Self::KEYS) {
            group.read(reader, table);
        }
        group
    }
}

/// Takes one value and notes what was expected if it is none.
pub(super) fn take<T>(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    key: &str,
    codec: &impl Codec<T>,
) -> Option<T> {
    let value = table.get(key)?;
    let taken = codec.read(value.get_ref());
    if taken.is_some() {
        return taken;
    }
    for (value, expected) in codec.mistakes(value) {
        match value.get_ref() {
            DeValue::String(text) if !expected.starts_with("a whole number") => {
                reader.problem(
                    value,
                    &format!("`{key}` is \"{}\", expected {expected}", shown(text)),
                );
            }
            DeValue::Integer(number) => {
                reader.problem(value, &format!("`{key}` is {number}, expected {expected}"));
            }
            _ => reader.wrong_type(value, key, &expected),
        }
    }
    None
}

/// Parses the text of an option; the error is the expected form.
pub(super) fn parse<T>(codec: &impl Codec<T>, text: &str) -> Result<T, String> {
    codec.parse(text.trim()).ok_or_else(|| codec.expected())
}

/// A value for people; passwords are not.
pub(super) fn show<T>(option: &str, codec: &impl Codec<T>, value: &T) -> String {
    let text = codec.show(value);
    let is_secret = option.ends_with("-pass") || option.ends_with("-secret");
    match is_secret && text != NONE {
        true => "…".to_owned(),
        false => text,
    }
}

/// Key and value if the setting is not at its default.
pub(super) fn line<T: PartialEq>(
    key: &'static str,
    codec: &impl Codec<T>,
    value: &T,
    default: &T,
) -> Option<(&'static str, String)> {
    if value == default {
        return None;
    }
    Some((key, codec.write(value)?))
}

/// Declares a group: `field: Type = default, CODEC, "toml_key", "rtpengine-option";` per setting.
macro_rules! settings {
    (
        $(#[$doc:meta])*
        pub struct $name:ident [$section:literal] {
            $(
                $(#[$field_doc:meta])*
                $field:ident: $type:ty = $default:expr, $codec:expr, $key:literal
                    $(, $option:literal)?;
            )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $crate::config::setting::Group for $name {
            const SECTION: &'static str = $section;
            const KEYS: &'static [&'static str] = &[$($key),*];

            fn read(
                &mut self,
                reader: &mut windlass_toml::Reader<'_>,
                table: &toml::de::DeTable<'_>,
            ) {
                $(
                    let taken = $crate::config::setting::take(reader, table, $key, &$codec);
                    if let Some(value) = taken {
                        self.$field = value;
                    }
                )*
            }

            fn lines(&self) -> Vec<(&'static str, String)> {
                let default = Self::default();
                let lines = [
                    $($crate::config::setting::line(
                        $key, &$codec, &self.$field, &default.$field,
                    ),)*
                ];
                lines.into_iter().flatten().collect()
            }

            fn set(&mut self, option: &str, text: &str) -> Option<Result<(), String>> {
                // Not every group has options.
                let _ = text;
                match option {
                    $($(
                        $option => Some(
                            $crate::config::setting::parse(&$codec, text)
                                .map(|value| self.$field = value),
                        ),
                    )?)*
                    _ => None,
                }
            }

            fn options(&self) -> Vec<(&'static str, String)> {
                vec![
                    $($((
                        $option,
                        $crate::config::setting::show($option, &$codec, &self.$field),
                    ),)?)*
                ]
            }
        }
    };
}

pub(super) use settings;
