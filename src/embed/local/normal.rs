//! The letters of a text as a BERT vocabulary has them: cleaned, without accents, in lower case. And what ends a word.
//!
//! Follows `BertNormalizer` and `BertPreTokenizer` of the `tokenizers` library. Knows no token.

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// What is done to a text before it is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Normal {
    /// Characters that are not seen are left out.
    pub(super) clean: bool,
    /// Each Han character is a word.
    pub(super) chinese: bool,
    pub(super) strip_accents: bool,
    pub(super) lowercase: bool,
}

impl Normal {
    /// The characters of `text` after all of that, one by one: who has enough of them stops.
    pub(super) fn chars<'a>(&self, text: &'a str) -> Box<dyn Iterator<Item = char> + 'a> {
        let mut chars: Box<dyn Iterator<Item = char> + 'a> = Box::new(text.chars());
        if self.clean {
            let seen = chars.filter(|c| !is_unseen(*c));
            chars = Box::new(seen.map(|c| if c.is_whitespace() { ' ' } else { c }));
        }
        if self.chinese {
            let apart = |c| if is_han(c) { [Some(' '), Some(c), Some(' ')] } else { [None, Some(c), None] };
            chars = Box::new(chars.flat_map(apart).flatten());
        }
        if self.strip_accents {
            let is_accent = |c: &char| c.general_category() == GeneralCategory::NonspacingMark;
            chars = Box::new(chars.nfd().filter(move |c| !is_accent(c)));
        }
        if self.lowercase {
            chars = Box::new(chars.flat_map(char::to_lowercase));
        }
        chars
    }
}

fn is_unseen(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => false,
        '\0' | '\u{fffd}' => true,
        c => {
            let category = c.general_category();
            use GeneralCategory::{Control, Format, PrivateUse};
            [Control, Format, PrivateUse].contains(&category)
        }
    }
}

/// The blocks that the authors of BERT took for Chinese.
fn is_han(c: char) -> bool {
    matches!(u32::from(c),
        0x4e00..=0x9fff | 0x3400..=0x4dbf | 0xf900..=0xfaff | 0x20000..=0x2a6df | 0x2a700..=0x2b73f
        | 0x2b740..=0x2b81f | 0x2b920..=0x2ceaf | 0x2f800..=0x2fa1f)
}

/// A word by itself.
pub(super) fn is_mark(c: char) -> bool {
    c.is_ascii_punctuation() || c.general_category_group() == GeneralCategoryGroup::Punctuation
}
