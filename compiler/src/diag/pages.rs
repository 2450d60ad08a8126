//! The page of each code: what it means, an example and what to do.
//!
//! In: a code. Out: its section of `errors.md`. Fails for a code that nobody has.

/// All pages, as Markdown: what `docs/errors.md` holds.
pub const ALL: &str = include_str!("errors.md");

/// The page of `code` (such as `NB0402`; case, surrounding white space, `NB` and zeros before the number do not matter),
/// from its heading on.
pub fn page(code: &str) -> Option<&'static str> {
    let code = code.trim().to_uppercase();
    let number = code.strip_prefix("NB").unwrap_or(&code);
    if number.is_empty() || number.len() > 4 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let heading = format!("## NB{number:0>4}:");
    let start = if ALL.starts_with(&heading) { 0 } else { ALL.find(&format!("\n{heading}"))? + 1 };
    let rest = &ALL[start..];
    let end = rest.find("\n## ").or_else(|| rest.find("\n# ")).map_or(rest.len(), |end| end + 1);
    Some(rest[..end].trim_end())
}

#[cfg(test)]
mod tests {
    use nodeplan::report::Code as LoaderCode;

    use super::*;
    use crate::diag::Code;

    #[test]
    fn every_code_has_a_page_under_its_title() {
        let ours = Code::ALL.iter().map(|code| (code.as_str(), code.title()));
        let loader = LoaderCode::ALL.iter().map(|code| (code.as_str(), code.title()));
        for (code, title) in ours.chain(loader) {
            let page = page(code).unwrap_or_else(|| panic!("{code} has no page in errors.md"));
            assert!(page.starts_with(&format!("## {code}: {title}\n\n")), "{code}: heading differs from the title");
            assert!(page.len() > code.len() + title.len() + 40, "{code}: the page says nothing");
        }
    }

    #[test]
    fn every_page_has_a_code() {
        let known: Vec<_> = Code::ALL
            .iter()
            .map(|code| code.as_str())
            .chain(LoaderCode::ALL.iter().map(|code| code.as_str()))
            .collect();
        let headings: Vec<_> = ALL.lines().filter_map(|line| line.strip_prefix("## ")?.split(':').next()).collect();
        assert_eq!(headings, known, "pages stand in the order of the codes, one each");
    }

    #[test]
    fn codes_are_found_in_any_case_and_only_whole() {
        for code in ["nb0101", "NB101", "101", " 0101 ", "nb101"] {
            assert_eq!(page(code), page("NB0101"), "case: {code}");
            assert!(page(code).is_some(), "case: {code}");
        }
        for bad in ["NB0", "NB9999", "", "##", "NB", "10", "00101", "NB01011", "+101", "101:"] {
            assert_eq!(page(bad), None, "case: {bad}");
        }
    }
}
