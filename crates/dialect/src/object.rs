//! Writes one flat JSON object, field by field. Used by the JSON dialect, whose payloads are finished JSON
//! that is copied and never parsed again.

use std::io::Write;

/// An object under construction at the end of a buffer. [`Object::end`] closes it.
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    /// Opens an object.
    pub(crate) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    /// A text, escaped.
    pub(crate) fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.name(name);
        write_text(self.out, value);
        self
    }

    /// A text, if there is one.
    pub(crate) fn text_if(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        if let Some(value) = value {
            self.text(name, value);
        }
        self
    }

    /// A value whose `Display` is JSON: a number, `true`, `false`.
    pub(crate) fn value(&mut self, name: &str, value: impl std::fmt::Display) -> &mut Self {
        self.name(name);
        write!(self.out, "{value}").expect("a Vec takes all that is written");
        self
    }

    /// The same, if there is one.
    pub(crate) fn value_if(&mut self, name: &str, value: Option<impl std::fmt::Display>) -> &mut Self {
        if let Some(value) = value {
            self.value(name, value);
        }
        self
    }

    /// Finished JSON, copied.
    pub(crate) fn raw(&mut self, name: &str, json: &[u8]) -> &mut Self {
        self.name(name);
        self.out.extend_from_slice(json);
        self
    }

    /// An object within.
    pub(crate) fn object(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_>)) -> &mut Self {
        self.name(name);
        let mut inner = Object::begin(self.out);
        fill(&mut inner);
        inner.end();
        self
    }

    /// An array within, of one object for each item.
    pub(crate) fn objects<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut fill: impl FnMut(&mut Object<'_>, T),
    ) -> &mut Self {
        self.name(name);
        self.out.push(b'[');
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            let mut inner = Object::begin(self.out);
            fill(&mut inner, item);
            inner.end();
        }
        self.out.push(b']');
        self
    }

    /// An array of texts.
    pub(crate) fn texts<'t>(&mut self, name: &str, texts: impl IntoIterator<Item = &'t str>) -> &mut Self {
        self.name(name);
        self.out.push(b'[');
        for (index, text) in texts.into_iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            write_text(self.out, text);
        }
        self.out.push(b']');
        self
    }

    /// An object within, of one number for each text.
    pub(crate) fn counts<'t>(
        &mut self,
        name: &str,
        counts: impl IntoIterator<Item = (&'t str, u32)>,
    ) -> &mut Self {
        self.name(name);
        self.out.push(b'{');
        for (index, (text, count)) in counts.into_iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            write_text(self.out, text);
            write!(self.out, ":{count}").expect("a Vec takes all that is written");
        }
        self.out.push(b'}');
        self
    }

    /// Closes the object.
    pub(crate) fn end(self) {
        self.out.push(b'}');
    }

    fn name(&mut self, name: &str) {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a text is written as JSON without failing");
}
