//! Source texts and places in them.
//!
//! In: file names and texts, as given on the command line. Out: [`Span`]s that survive to the last phase, and lines
//! and columns for people. Cannot fail.

use schemars::{JsonSchema, Schema, SchemaGenerator};

/// One text of a [`SourceMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(u32);

/// A range of bytes in one text, end excluded. Orders by file, then by start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The text.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// Byte behind the last one.
    pub end: u32,
}

impl Span {
    /// The place of what stands in for something that is broken: behind the end of every text.
    pub fn nowhere(file: FileId) -> Self {
        Self { file, start: u32::MAX, end: u32::MAX }
    }

    /// Whether it is the place of a stand-in.
    pub fn is_nowhere(self) -> bool {
        self.start == u32::MAX
    }
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub span: Span,
}

/// Place for people; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineColumn {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

#[derive(Debug)]
struct SourceFile {
    name: String,
    text: String,
}

/// All texts of a run, by the names under which the user knows them.
#[derive(Debug, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
}

impl<T> Spanned<T> {
    /// `value` at `span`.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl SourceMap {
    /// Adds a text. `name` is what messages show: the path as the user wrote it.
    ///
    /// Texts are bounded by their readers far below 4 GiB, so that 32-bit offsets are enough.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.files.push(SourceFile { name: name.into(), text: text.into() });
        id
    }

    fn file(&self, id: FileId) -> &SourceFile {
        &self.files[id.0 as usize]
    }

    /// Name of a text.
    pub fn name(&self, id: FileId) -> &str {
        &self.file(id).name
    }

    /// A text.
    pub fn text(&self, id: FileId) -> &str {
        &self.file(id).text
    }

    /// What stands at `span`.
    pub fn slice(&self, span: Span) -> &str {
        self.text(span.file).get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// Line and column of a byte offset.
    pub fn line_column(&self, file: FileId, offset: u32) -> LineColumn {
        let text = self.text(file);
        let before = text.get(..offset as usize).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        LineColumn { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let mut sources = SourceMap::default();
        let file = sources.add("x", "a\nü: b\n");
        for (offset, line, column) in [(0, 1, 1), (2, 2, 1), (4, 2, 2), (6, 2, 4), (99, 3, 1)] {
            assert_eq!(sources.line_column(file, offset), LineColumn { line, column }, "offset {offset}");
        }
        assert_eq!(sources.slice(Span { file, start: 2, end: 4 }), "ü");
    }
}
