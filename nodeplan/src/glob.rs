//! Name globs: `*` for any run of bytes (also none), `?` for one byte, everything else stands for itself.

/// Whether all of `text` matches `pattern`.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to resume after the last `*`: the pattern position behind it, and how much text it has eaten.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((resume, eaten)) => {
                    star = Some((resume, eaten + 1));
                    p = resume;
                    t = eaten + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// Whether some text matches both patterns.
///
/// Decides overlap of globs of two owners or of two selectors, without a list of names. O(n·m) memory and time.
pub fn overlap(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    // reach[i][j]: some text can be read by a[i..] and b[j..] alike; filled from the ends.
    let mut reach = vec![vec![false; b.len() + 1]; a.len() + 1];
    for i in (0..=a.len()).rev() {
        for j in (0..=b.len()).rev() {
            reach[i][j] = match (a.get(i), b.get(j)) {
                (None, None) => true,
                (Some(b'*'), None) => reach[i + 1][j],
                (None, Some(b'*')) => reach[i][j + 1],
                (Some(b'*'), Some(_)) | (Some(_), Some(b'*')) => reach[i + 1][j] || reach[i][j + 1],
                (Some(&x), Some(&y)) => (x == b'?' || y == b'?' || x == y) && reach[i + 1][j + 1],
                (Some(_), None) | (None, Some(_)) => false,
            };
        }
    }
    reach[0][0]
}

/// Whether every text that `narrow` matches is matched by `wide`, as far as it shows in the patterns themselves: a `*` of
/// `narrow` is covered by a `*`, its `?` by a `?` or `*`. Never true where it is not; false for some that are, such as
/// `?*` over `*?`.
pub fn covers(wide: &str, narrow: &str) -> bool {
    let (wide, narrow) = (wide.as_bytes(), narrow.as_bytes());
    // As in `overlap`: covered[i][j]: wide[i..] covers narrow[j..]; filled from the ends.
    let mut covered = vec![vec![false; narrow.len() + 1]; wide.len() + 1];
    for i in (0..=wide.len()).rev() {
        for j in (0..=narrow.len()).rev() {
            covered[i][j] = match (wide.get(i), narrow.get(j)) {
                (None, None) => true,
                (Some(b'*'), None) => covered[i + 1][j],
                (Some(b'*'), Some(_)) => covered[i + 1][j] || covered[i][j + 1],
                (Some(b'?'), Some(&y)) => y != b'*' && covered[i + 1][j + 1],
                (Some(&x), Some(&y)) => x == y && covered[i + 1][j + 1],
                (Some(_), None) | (None, Some(_)) => false,
            };
        }
    }
    covered[0][0]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn matching_follows_the_shell() {
        for (pattern, text, want) in [
            ("eth0", "eth0", true),
            ("eth0", "eth01", false),
            ("eth*", "eth", true),
            ("eth*", "eth12", true),
            ("*", "", true),
            ("?", "", false),
            ("e?h0", "eth0", true),
            ("*a*b", "xxaxxab", true),
            ("*a*b", "xxaxxba", false),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, text), want, "case: {pattern} {text}");
        }
    }

    #[test]
    fn overlap_finds_common_names() {
        for (a, b, want) in [
            ("netops-*", "netops-drop", true),
            ("netops-*", "security-*", false),
            ("*-drop", "netops-*", true),
            ("a*", "*b", true),
            ("a?", "a", false),
            ("", "*", true),
        ] {
            assert_eq!(overlap(a, b), want, "case: {a} {b}");
            assert_eq!(overlap(b, a), want, "case: {b} {a}");
        }
    }

    #[test]
    fn covering_is_never_claimed_wrongly() {
        for (wide, narrow, want) in [
            ("ovn*", "ovn-k8s-*", true),
            ("ovn*", "ovn", true),
            ("*", "*", true),
            ("*", "", true),
            ("e?h0", "eth0", true),
            ("e?h0", "e?h0", true),
            ("e?", "e*", false),
            ("ovn-k8s-*", "ovn*", false),
            ("eth0", "eth*", false),
            ("", "a", false),
        ] {
            assert_eq!(covers(wide, narrow), want, "case: {wide} {narrow}");
        }
    }

    proptest! {
        #[test]
        fn what_is_covered_is_matched(a in "[ab*?]{0,6}", b in "[ab*?]{0,6}", text in "[ab]{0,6}") {
            if covers(&a, &b) && matches(&b, &text) {
                prop_assert!(matches(&a, &text));
            }
        }

        #[test]
        fn a_text_that_matches_both_is_an_overlap(a in "[ab*?]{0,6}", b in "[ab*?]{0,6}", text in "[ab]{0,6}") {
            if matches(&a, &text) && matches(&b, &text) {
                prop_assert!(overlap(&a, &b));
            }
        }
    }
}
