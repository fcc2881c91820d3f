use proptest::prelude::*;

use super::*;

fn check(pattern: &str, matching: &[&str], others: &[&str]) {
    let regex = Regex::new(pattern).expect("valid pattern");
    for value in matching {
        assert!(regex.is_match(value.as_bytes()), "{pattern} must match {value:?}");
    }
    for value in others {
        assert!(!regex.is_match(value.as_bytes()), "{pattern} must not match {value:?}");
    }
}

fn check_error(pattern: &str, want: &str) {
    let got = Regex::new(pattern).map(|_| ()).map_err(|e| e.to_string());
    assert_eq!(got, Err(format!("error parsing regexp: {want}")), "{pattern}");
}

#[test]
fn go_syntax_is_not_rusts() {
    check("\\d\\w\\s", &["1a "], &["١a ", "1é ", "1a\u{a0}"]);
    check("[a&&b]", &["a", "&", "b"], &["c"]);
    check("[!--b]", &["!", "-", "b", ","], &["c"]);
    check("[a[b]", &["a", "[", "b"], &["c"]);
    check("\\Qa.b\\E.", &["a.bx"], &["axbx"]);
    check("a{,2}", &["a{,2}"], &["aa"]);
    check("{", &["{"], &[""]);
    check("\\07\\123", &["\u{7}S"], &[]);
    check("\\<a\\>", &["<a>"], &["a"]);
    check("[[:^alpha:]]", &["1", "é"], &["a"]);
    check("[]a]", &["]", "a"], &["b"]);
    check("[^]a]", &["b", "\n"], &["]"]);
    check("[a\\-z]", &["-"], &["b"]);
    check("\\pL\\p{Greek}\\p{^Greek}\\PL", &["aαa1"], &["aaaa"]);
}

#[test]
fn flags_hold_until_their_group_ends() {
    check("(?i)k", &["k", "K", "\u{212a}"], &["c"]);
    check("(?i)ß", &["ß", "ẞ"], &["ss"]);
    check("(?i:a)b", &["Ab", "ab"], &["aB"]);
    check("((?i)a)b", &["Ab"], &["aB"]);
    check("(?i)a|b", &["B"], &[]);
    check("(?i)[^a]", &["b"], &["A"]);
    check("(?i)\\w", &["\u{17f}"], &["é"]);
    check(".", &["\n"], &[""]);
    check("(?-s).", &["a"], &["\n"]);
    check("(?-s:.).", &["a\n"], &["\na"]);
    check("a(?m)$\n^b", &["a\nb"], &["ab"]);
    check("a$\n^b", &[], &["a\nb"]);
    check("(?U)a+", &["aaa"], &[""]);
}

#[test]
fn errors_are_in_gos_words() {
    check_error("a|*", "missing argument to repetition operator: `*`");
    check_error("(*a)", "missing argument to repetition operator: `*`");
    check_error("a**?", "invalid nested repetition operator: `**?`");
    check_error("(a{100}){100}", "invalid repeat count: `{100}`");
    check_error("a{99999999999}", "invalid repeat count: `{99999999999}`");
    check_error("(?i-", "invalid or unsupported Perl syntax: `(?i-`");
    check_error("(?i-)a", "invalid or unsupported Perl syntax: `(?i-)`");
    check_error("(?P<a-b>c)", "invalid named capture: `(?P<a-b>`");
    check_error("[a--b]", "invalid character class range: `a--`");
    check_error("a\\Qb", "missing closing ): `^(?s:a\\Qb)$`");
    check_error("[a", "missing closing ]: `[a`");
    check_error("x[\\q]", "invalid escape sequence: `\\q`");
    check_error("\\x{110000}", "invalid escape sequence: `\\x{110000`");
    check_error("\\p{L", "invalid character class range: `\\p{L`");
    check_error("a)b", "unexpected ): `a)b`");
}

#[test]
fn depth_and_size_have_limits() {
    let nested = |n: usize| format!("{}a{}", "(".repeat(n), ")".repeat(n));
    assert!(Regex::new(&nested(999)).is_ok());
    check_error(&nested(1000), &format!("expression nests too deeply: `{}`", nested(1000)));
    let deep = format!("{}a{}", "(?:x".repeat(99), ")*".repeat(99));
    assert!(Regex::new(&deep).is_ok() && TemplateRegex::new(&deep).is_ok());
    let deeper = format!("{}a{}", "(?:x".repeat(101), ")*".repeat(101));
    check_error(&deeper, &format!("expression nests too deeply: `{deeper}`"));
    check_error(&"(".repeat(100_000), &format!("missing closing ): `{}`", "(".repeat(100_000)));
    let large = "(?:\\pL{1000}){1}".repeat(20);
    check_error(&large, &format!("expression too large: `{large}`"));
}

#[test]
fn values_that_are_not_utf8_hold_replacement_characters() {
    let check = |pattern: &str, value: &[u8], want| {
        assert_eq!(Regex::new(pattern).expect("valid pattern").is_match(value), want, "{pattern} {value:?}");
    };
    check(".", b"\xff", true);
    check("..", b"\xe4\xb8", true);
    check("\u{fffd}", b"\xff", true);
    check("[^a]", b"\xff", true);
    check("[a-z]", b"\xff", false);
    check(".*", b"\xff", true);
    check("a.*", b"a\xff", true);
    check("..", "é".as_bytes(), false);
    check("\\x{d800}", b"\xed\xa0\x80", false);
}

#[test]
fn quick_ways_agree_with_the_automaton() {
    let values = ["", "a", "b", "ab", "aXb", "a\nb", "foo", "foobar", "xfoox", "barfoo", "é"];
    for pattern in
        [".*", ".+", "a.*", ".*b", "a.*b", ".*foo.*", "a|b|", "(foo|a)(bar)?", "foo(bar|x)", "^a$", "[a-c]"]
    {
        let regex = Regex::new(pattern).expect("valid pattern");
        let slow = TemplateRegex::new(pattern).expect("valid pattern");
        for value in values {
            assert_eq!(
                regex.is_match(value.as_bytes()),
                slow.is_match(value.as_bytes()),
                "{pattern} {value:?}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn agrees_with_rusts_engine_where_the_syntax_does(
        pattern in "(\\(\\?:|\\)|[a-c]|\\||\\.|[*+?]|\\[[a-c]-c\\]|\\^|\\$|\\\\n|b\\{1,2\\}){0,9}",
        values in prop::collection::vec("[a-c\n]{0,5}", 1..6),
    ) {
        let rust = regex_automata::meta::Regex::new(&format!("^(?s:{pattern})$"));
        // Rust alone takes stacked repetitions and groups that close the outer one.
        if let (Ok(ours), Ok(rust)) = (Regex::new(&pattern), rust) {
            for value in values {
                prop_assert_eq!(ours.is_match(value.as_bytes()), rust.is_match(&value), "{} {:?}", pattern, value);
            }
        }
    }

    #[test]
    fn any_text_compiles_or_is_refused(pattern in "\\PC{0,40}", value in prop::collection::vec(any::<u8>(), 0..20)) {
        if let Ok(regex) = Regex::new(&pattern) {
            let slow = TemplateRegex::new(&pattern);
            prop_assert!(slow.is_ok_and(|slow| slow.is_match(&value) == regex.is_match(&value)));
        }
    }
}
