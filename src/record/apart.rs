//! A vector taken out of a JSON object before the rest is read: serde would look at every digit once to find the vector's end, and
//! then again to read it.
//!
//! Invariant: an object that is read this way would be read the other way, and be the same, if it refuses a field that stands there twice,
//! as derived ones do. What is not plain is left to that other way, which has the errors, too.

use super::floats::list;
use serde::de::DeserializeOwned;

/// The field that is a vector.
const NAME: &[u8] = b"vector";
/// Bytes beside it that are copied; where more are, it is not most of what is to be read.
const OTHERS_BYTES_MAX: usize = 64 << 10;

/// The object in `text` with its vector, which `field` is the place of; none if that is not there, or not plain.
pub(crate) fn read_apart<T: DeserializeOwned>(
    text: &[u8],
    field: impl FnOnce(&mut T) -> &mut Option<Vec<f32>>,
) -> Option<T> {
    let (vector, others) = taken(text)?;
    let mut object = serde_json::from_slice(&others).ok()?;
    *field(&mut object) = Some(vector);
    Some(object)
}

/// The vector, and the object with null in its place.
fn taken(text: &[u8]) -> Option<(Vec<f32>, Vec<u8>)> {
    let mut rest = after(text, b'{')?;
    loop {
        let key = string(&mut rest)?;
        rest = trimmed(after(rest, b':')?);
        if key == NAME {
            let before = &text[..text.len() - rest.len()];
            let vector = list(&mut rest)?;
            let is_small = before.len() + rest.len() <= OTHERS_BYTES_MAX;
            return is_small.then(|| (vector, [before, b"null", rest].concat()));
        }
        match rest.first()? {
            b'"' => drop(string(&mut rest)?),
            // Numbers, true, false and null have none of these in them; serde sees to what they are.
            _ => {
                let end = rest.iter().position(|byte| b",}]{[\"".contains(byte))?;
                rest = &rest[end..];
            }
        }
        rest = after(rest, b',')?;
    }
}

/// A string, as it is written.
fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let text = after(rest, b'"')?;
    let mut end = 0;
    loop {
        match text.get(end)? {
            b'"' => break,
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
    *rest = &text[end + 1..];
    Some(&text[..end])
}

/// What follows `byte`, which space may stand before.
fn after(text: &[u8], byte: u8) -> Option<&[u8]> {
    trimmed(text).strip_prefix(&[byte])
}

fn trimmed(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\n' | b'\t' | b'\r', after @ ..] = text {
        text = after;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::floats::maybe_floats;
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::Value;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[serde(default, deserialize_with = "maybe_floats")]
        vector: Option<Vec<f32>>,
        k: Option<Value>,
        text: Option<String>,
    }

    fn apart(text: &str) -> Option<Body> {
        read_apart(text.as_bytes(), |body: &mut Body| &mut body.vector)
    }

    #[test]
    fn a_vector_is_taken_out_wherever_it_stands() {
        for text in [
            r#"{"vector":[1,2.5]}"#,
            " {\n\"vector\" : [ 1 , 2.5 ] , \"k\" : 3 } ",
            r#"{"k":3,"vector":[]}"#,
            r#"{"k":true,"text":"a, \"vector\":[1] \\","vector":[1e3]}"#,
            r#"{"text":"vector","vector":[-0.0],"k":{"vector":[9]}}"#,
            r#"{"vector":[1],"k":["]}"]}"#,
        ] {
            let read = apart(text);
            assert!(read.is_some(), "{text}");
            assert_eq!(read, serde_json::from_str(text).ok(), "{text}");
        }
    }

    #[test]
    fn what_is_not_plain_is_left() {
        for text in [
            "",
            "{",
            "{}",
            "[]",
            "null",
            r#"[{"vector":[1]}]"#,
            r#"{"k":3}"#,
            r#"{"vector":null}"#,
            r#"{"vector":[1,]}"#,
            r#"{"vector":[1]"#,
            r#"{"vector":[1]}}"#,
            r#"{"vector":[1],}"#,
            r#"{"vector":[1],"vector":[2]}"#,
            r#"{"vector":null,"vector":[2]}"#,
            r#"{"vector":["1"]}"#,
            r#"{"vector":[[1]]}"#,
            r#"{"vector":[1e400]}"#,
            r#"{"k":[1],"vector":[1]}"#,
            r#"{"k":1 2,"vector":[1]}"#,
            r#"{"k":,"vector":[1]}"#,
            r#"{"k":01,"vector":[1]}"#,
            r#"{"unknown":1,"vector":[1]}"#,
            r#"{"text":"\x","vector":[1]}"#,
            "{\"text\":\"\u{1}\",\"vector\":[1]}",
            r#"{"v\u0065ctor":[1]}"#,
            r#"{"text":"\"#,
            r#"{"text":"\""#,
            r#",{"vector":[1]}"#,
            r#"{,"vector":[1]}"#,
            r#"{"vector"[1]}"#,
        ] {
            assert_eq!(apart(text), None, "{text}");
        }
        assert_eq!(taken(b"{\"text\":\"\xff\",\"vector\":[1]}").unwrap().0, [1.0]);
        let read = read_apart(b"{\"text\":\"\xff\",\"vector\":[1]}", |body: &mut Body| &mut body.vector);
        assert_eq!(read, None, "what is no text is refused by serde");
        let of = |len: usize| format!("{{\"vector\":[1],\"text\":\"{}\"}}", "x".repeat(len));
        assert!(apart(&of(OTHERS_BYTES_MAX / 2)).is_some());
        assert_eq!(apart(&of(OTHERS_BYTES_MAX)), None, "too much to copy");
    }

    proptest! {
        #[test]
        fn nothing_is_read_that_serde_refuses_or_reads_otherwise(
            parts in proptest::collection::vec(
                proptest::sample::select(vec![
                    "{", "}", "[", "]", ",", ":", " ", "\"vector\"", "\"vector\":", "\"vector\":[1,2]", "[0.5]", "\"k\":", "\"text\":",
                    "\"a\\\"b\"", "\"", "\\", "1", "-0", "1e5", "null", "true", "\"\"", "{\"vector\":[3]}", ",\"k\":1",
                ]),
                0..12,
            ),
            is_object in any::<bool>(),
        ) {
            let text = if is_object { format!("{{{}}}", parts.concat()) } else { parts.concat() };
            if let Some(read) = apart(&text) {
                prop_assert_eq!(Some(read), serde_json::from_str(&text).ok(), "{}", text);
            }
        }
    }
}
