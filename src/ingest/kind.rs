//! What a file is: by its name, and where its first bytes say more, by them.

use serde::Serialize;

/// What a text is written in, which says where it may be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Kind {
    /// Paragraphs.
    Text,
    /// Headings, paragraphs, fenced code.
    Markdown,
    /// Tags; read as the Markdown that says the same.
    Html,
    /// Source code of any language.
    Code,
    /// Pages.
    Pdf,
}

const MARKDOWN: [&str; 5] = ["md", "markdown", "mdx", "mdown", "qmd"];
const HTML: [&str; 3] = ["html", "htm", "xhtml"];
const TEXT: [&str; 12] =
    ["txt", "text", "rst", "adoc", "asciidoc", "org", "tex", "log", "csv", "tsv", "srt", "vtt"];
const CODE: [&str; 68] = [
    "rs", "py", "pyi", "js", "jsx", "mjs", "cjs", "ts", "tsx", "go", "java", "kt", "kts", "scala", "c", "h",
    "cc", "cpp", "cxx", "hpp", "hh", "cs", "fs", "swift", "m", "mm", "rb", "php", "pl", "pm", "lua", "r",
    "jl", "hs", "ml", "mli", "ex", "exs", "erl", "clj", "lisp", "el", "scm", "zig", "nim", "d", "dart", "v",
    "sv", "vhd", "sql", "sh", "bash", "zsh", "fish", "ps1", "bat", "toml", "yaml", "yml", "json", "ini",
    "cfg", "xml", "proto", "css", "scss", "graphql",
];
const CODE_NAMES: [&str; 6] = ["dockerfile", "makefile", "rakefile", "gemfile", "justfile", "cmakelists.txt"];
const TEXT_NAMES: [&str; 6] = ["readme", "license", "changelog", "authors", "contributing", "notice"];

impl Kind {
    /// What a file of this name is; nothing if the name does not say.
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.rsplit(['/', '\\']).next().unwrap_or(name).to_ascii_lowercase();
        if CODE_NAMES.contains(&name.as_str()) {
            return Some(Self::Code);
        }
        let Some((_, ending)) = name.rsplit_once('.') else {
            return TEXT_NAMES.contains(&name.as_str()).then_some(Self::Text);
        };
        match ending {
            "pdf" => Some(Self::Pdf),
            _ if MARKDOWN.contains(&ending) => Some(Self::Markdown),
            _ if HTML.contains(&ending) => Some(Self::Html),
            _ if TEXT.contains(&ending) => Some(Self::Text),
            _ if CODE.contains(&ending) => Some(Self::Code),
            _ => None,
        }
    }

    /// The word for it, as the metadata of chunks has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Markdown => "markdown",
            Self::Html => "html",
            Self::Code => "code",
            Self::Pdf => "pdf",
        }
    }

    /// The same with its bytes at hand: they tell a PDF and a page of HTML whatever they are called; all else is text.
    pub fn of(name: &str, bytes: &[u8]) -> Self {
        let start = &bytes[..bytes.len().min(1_024)];
        if start.windows(5).any(|five| five == b"%PDF-") {
            return Self::Pdf;
        }
        match Self::of_name(name) {
            // It says so and is not.
            Some(Self::Pdf) | None => {
                let start = String::from_utf8_lossy(start).trim_start().to_ascii_lowercase();
                let is_page = start.starts_with("<!doctype html") || start.starts_with("<html");
                if is_page { Self::Html } else { Self::Text }
            }
            Some(kind) => kind,
        }
    }
}
