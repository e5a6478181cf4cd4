//! Tables of protocol names: one line per name gives the enum variant, the look-up, the
//! canonical spelling and the candidates for "did you mean".
//!
//! The reference accepts a fixed set of spellings per name; we fold ASCII case and treat `-`,
//! `_` and space as one, which accepts all of those and no two different names collide.

/// Longest name any table holds, in bytes; a longer one cannot match.
pub(crate) const NAME_MAX: usize = 64;

/// Folds `name` into `buf`; `None` if it is longer than every known name.
///
/// The length is kept, so offsets in the folded name are offsets in `name`.
pub(crate) fn fold<'b>(name: &[u8], buf: &'b mut [u8; NAME_MAX]) -> Option<&'b [u8]> {
    let out = buf.get_mut(..name.len())?;
    for (to, &from) in out.iter_mut().zip(name) {
        *to = fold_byte(from);
    }
    Some(out)
}

/// One byte of a folded name.
pub(crate) fn fold_byte(byte: u8) -> u8 {
    match byte {
        b'_' | b' ' => b'-',
        b'A'..=b'Z' => byte | 0x20,
        _ => byte,
    }
}

/// Whether `name` is `folded` up to folding.
pub(crate) fn same(name: &[u8], folded: &[u8]) -> bool {
    name.len() == folded.len() && name.iter().zip(folded).all(|(&a, &b)| fold_byte(a) == b)
}

/// The text of a byte string literal, at compile time.
pub(crate) const fn text(bytes: &'static [u8]) -> &'static str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => panic!("protocol names are ASCII"),
    }
}

/// An enum of protocol names with its look-up. Spellings are given folded; the first one of a
/// line is canonical for messages.
macro_rules! names {
    (
        $(#[$meta:meta])*
        $vis:vis enum $Name:ident {
            $( $(#[$vmeta:meta])* $Variant:ident = $first:literal $(| $alias:literal)* ),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $vis enum $Name {
            $( $(#[$vmeta])* $Variant ),+
        }

        #[allow(dead_code, reason = "not every table is used in every way")]
        impl $Name {
            /// Every spelling, for suggestions.
            pub(crate) const SPELLINGS: &'static [&'static str] = &[
                $( $crate::names::text($first), $( $crate::names::text($alias), )* )+
            ];

            /// The canonical spelling, in folded form.
            $vis const fn name(self) -> &'static str {
                match self {
                    $( Self::$Variant => const { $crate::names::text($first) } ),+
                }
            }

            /// The entry `name` stands for, whatever its case and separators.
            pub(crate) fn lookup(name: &[u8]) -> Option<Self> {
                let mut buf = [0; $crate::names::NAME_MAX];
                match $crate::names::fold(name, &mut buf)? {
                    $( $first $(| $alias)* => Some(Self::$Variant), )+
                    _ => None,
                }
            }
        }
    };
}
pub(crate) use names;

/// The candidate closest to `name`, if close enough to be a likely slip of the pen.
///
/// Costs `candidates × len²` steps over names of at most [`NAME_MAX`] bytes; ask only when the
/// answer is shown to someone.
pub(crate) fn nearest(
    name: &[u8],
    candidates: impl IntoIterator<Item = &'static str>,
) -> Option<&'static str> {
    let mut buf = [0; NAME_MAX];
    let folded = std::str::from_utf8(fold(name, &mut buf)?).ok()?;
    let allowed = ((folded.len() + 1) / 3).clamp(1, 3);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(folded.len()) <= allowed)
        .map(|candidate| (strsim::levenshtein(folded, candidate), candidate))
        .filter(|&(distance, _)| distance <= allowed)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_keeps_length_and_merges_separators() {
        let mut buf = [0; NAME_MAX];
        assert_eq!(
            fold(b"SDP_Version x", &mut buf),
            Some(&b"sdp-version-x"[..])
        );
        assert_eq!(fold(&[b'a'; 65], &mut buf), None);
    }

    #[test]
    fn nearest_name_is_a_slip_not_a_guess() {
        let known = ["trust-address", "symmetric-codecs", "fatal"];
        assert_eq!(nearest(b"trust-adress", known), Some("trust-address"));
        assert_eq!(nearest(b"Fatla", known), Some("fatal"));
        assert_eq!(nearest(b"fatall", known), Some("fatal"));
        assert_eq!(nearest(b"zzzzzz", known), None);
    }
}
