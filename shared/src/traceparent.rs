/// Longest `traceparent` that is handed on: those of today have 55 characters, and later
/// versions may append to them.
const MAX_BYTES: usize = 256;

/// Whether the text is a `traceparent` of W3C Trace Context. One that is not must be ignored,
/// and its length is what a client makes it.
pub fn is_traceparent(text: &str) -> bool {
    if text.len() > MAX_BYTES {
        return false;
    }
    let mut parts = text.splitn(5, '-');
    let (version, trace_id) = (hex(parts.next(), 2), hex(parts.next(), 32));
    let (parent_id, flags) = (hex(parts.next(), 16), hex(parts.next(), 2));
    let (Some(version), Some(trace_id), Some(parent_id), Some(_)) =
        (version, trace_id, parent_id, flags)
    else {
        return false;
    };
    let is_zero = |digits: &str| digits.bytes().all(|digit| digit == b'0');
    let appended = parts.next();
    let appends = appended.is_none_or(|more| more.bytes().all(|byte| byte.is_ascii_graphic()));
    version != "ff"
        && (version != "00" || appended.is_none())
        && appends
        && !is_zero(trace_id)
        && !is_zero(parent_id)
}

fn hex(part: Option<&str>, digits: usize) -> Option<&str> {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    part.filter(|part| part.len() == digits && part.bytes().all(is_hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn takes_what_the_recommendation_describes() {
        for sound in [SOUND, &SOUND.replacen("00", "cc", 1), &SOUND.replacen("00", "01", 1)] {
            assert!(is_traceparent(sound), "{sound}");
        }
        let later = SOUND.replacen("00", "cc", 1);
        assert!(is_traceparent(&format!("{later}-what-comes.later")));
        assert!(!is_traceparent(&format!("{SOUND}-more")), "version 00 has no more");
        for broken in [
            "",
            "-",
            "00",
            &SOUND.replacen("00", "ff", 1),
            &SOUND.to_uppercase(),
            &SOUND.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &SOUND.replace("b7ad6b7169203331", &"0".repeat(16)),
            &SOUND.replace("0af7", "0ag7"),
            &SOUND[..54],
            &format!("{later}-{}", "x".repeat(300)),
            &format!("{later}-\u{e9}"),
        ] {
            assert!(!is_traceparent(broken), "{broken}");
        }
    }
}
