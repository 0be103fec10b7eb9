//! Pages of list results: reading their items as bytes, and putting new pages together.

use std::ops::Range;

use bytes::Bytes;

use crate::json::{Fields, Text, elements, encode_str, is_null, is_object, str_at};
use crate::message::{Message, ScanError};

/// The lists that servers offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListKind {
    Tools,
    Prompts,
    Resources,
    ResourceTemplates,
}

impl ListKind {
    pub const ALL: &[ListKind] = &[
        ListKind::Tools,
        ListKind::Prompts,
        ListKind::Resources,
        ListKind::ResourceTemplates,
    ];

    /// The method that asks for the list.
    pub const fn method(self) -> &'static str {
        match self {
            ListKind::Tools => "tools/list",
            ListKind::Prompts => "prompts/list",
            ListKind::Resources => "resources/list",
            ListKind::ResourceTemplates => "resources/templates/list",
        }
    }

    /// The list that a method asks for.
    pub fn of_method(method: &str) -> Option<ListKind> {
        ListKind::ALL
            .iter()
            .copied()
            .find(|kind| kind.method() == method)
    }

    /// The field of the result that holds the items.
    pub const fn key(self) -> &'static str {
        match self {
            ListKind::Tools => "tools",
            ListKind::Prompts => "prompts",
            ListKind::Resources => "resources",
            ListKind::ResourceTemplates => "resourceTemplates",
        }
    }

    /// The field of an item by which clients refer to it.
    pub const fn identity(self) -> &'static str {
        match self {
            ListKind::Tools | ListKind::Prompts => "name",
            ListKind::Resources => "uri",
            ListKind::ResourceTemplates => "uriTemplate",
        }
    }
}

/// One page of a list.
#[derive(Debug, Clone)]
pub struct Page {
    pub items: Vec<Item>,
    /// Where the next page begins; the empty string is a cursor like any other.
    pub next_cursor: Option<String>,
    /// How long the page may be kept, if the server says.
    pub ttl_ms: Option<u64>,
    /// Whether the server allows the page to be shared between users.
    pub is_public: bool,
    /// Items left out because nothing could refer to them: the identifying field is missing, not a
    /// string, or there more than once.
    pub dropped: usize,
    /// The bytes of the whole response, which the items keep in memory.
    pub size: usize,
}

/// One tool, prompt, resource or resource template, as the server wrote it.
#[derive(Debug, Clone)]
pub struct Item {
    bytes: Bytes,
    name: Text,
}

impl Page {
    /// The only page of an empty list.
    pub fn empty() -> Page {
        Page {
            items: Vec::new(),
            next_cursor: None,
            ttl_ms: None,
            is_public: false,
            dropped: 0,
            size: 0,
        }
    }

    /// Reads the page that `response` carries.
    pub fn scan(response: &Message, kind: ListKind) -> Result<Page, ScanError> {
        let source = response.bytes();
        let result = response
            .result_range()
            .filter(|range| is_object(source, range))
            .ok_or_else(|| ScanError::result("it is not an object"))?;
        let fields = Fields::scan(source, result)?;
        let field = |key| -> Result<Option<Range<usize>>, ScanError> {
            let range = fields
                .unique(key)
                .map_err(|error| ScanError::result(error.to_string()))?;
            Ok(range.filter(|range| !is_null(source, range)))
        };
        let listed = field(kind.key())?
            .and_then(|range| elements(source, range))
            .ok_or_else(|| ScanError::result(format!("\"{}\" has to be an array", kind.key())))?;
        let next_cursor = field("nextCursor")?
            .map(|range| {
                Text::read(source, range)
                    .ok_or_else(|| ScanError::result("\"nextCursor\" has to be a string"))
            })
            .transpose()?;
        let count = listed.len();
        let items: Vec<Item> = listed
            .into_iter()
            .filter_map(|range| Item::read(source.slice(range), kind.identity()))
            .collect();
        Ok(Page {
            next_cursor: next_cursor.map(|text| text.as_str(source).to_owned()),
            ttl_ms: field("ttlMs")?.and_then(|range| str_at(source, &range).parse().ok()),
            is_public: field("cacheScope")?
                .is_some_and(|range| str_at(source, &range) == "\"public\""),
            dropped: count - items.len(),
            size: source.len(),
            items,
        })
    }
}

impl Item {
    /// Reads an item; `None` if the field that identifies it is not one clear string.
    pub fn read(bytes: Bytes, identity: &str) -> Option<Item> {
        let fields = Fields::scan(&bytes, 0..bytes.len()).ok()?;
        let name = Text::read(&bytes, fields.unique(identity).ok()??)?;
        Some(Item { bytes, name })
    }

    /// The name, URI or URI template by which clients refer to the item.
    pub fn name(&self) -> &str {
        self.name.as_str(&self.bytes)
    }

    /// Where the name stands in the item's bytes, quotes included.
    pub fn name_range(&self) -> Range<usize> {
        self.name.range()
    }

    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The raw input schema of a tool, if it is an object.
    pub fn input_schema(&self) -> Option<&str> {
        let fields = Fields::scan(&self.bytes, 0..self.bytes.len()).ok()?;
        let range = fields.get("inputSchema")?;
        is_object(&self.bytes, &range).then(|| str_at(&self.bytes, &range))
    }

    /// The item under another name, everything else as it was.
    pub fn renamed(&self, name: &str) -> Bytes {
        let Range { start, end } = self.name.range();
        let head = self.bytes.get(..start).unwrap_or_default();
        let tail = self.bytes.get(end..).unwrap_or_default();
        Bytes::from([head, encode_str(name).as_bytes(), tail].concat())
    }
}

/// The items as they stand between the brackets of a list.
pub fn join<'a>(items: impl IntoIterator<Item = &'a Bytes>) -> Bytes {
    let mut text = Vec::new();
    for (position, item) in items.into_iter().enumerate() {
        if position > 0 {
            text.push(b',');
        }
        text.extend_from_slice(item);
    }
    Bytes::from(text)
}

/// Writes the answer to the request `id`, which is raw: the items, joined, under `key`, then further
/// fields whose values are JSON.
pub fn answer(id: &str, key: &str, joined: &[u8], further: &[(&str, &str)]) -> Bytes {
    let more = further
        .iter()
        .map(|(key, value)| key.len() + value.len() + 8);
    let room = joined.len() + id.len() + key.len() + 64 + more.sum::<usize>();
    let mut text = Vec::with_capacity(room);
    text.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    text.extend_from_slice(id.as_bytes());
    text.extend_from_slice(br#","result":{"#);
    text.extend_from_slice(encode_str(key).as_bytes());
    text.extend_from_slice(b":[");
    text.extend_from_slice(joined);
    text.push(b']');
    for (key, value) in further {
        text.push(b',');
        text.extend_from_slice(encode_str(key).as_bytes());
        text.push(b':');
        text.extend_from_slice(value.as_bytes());
    }
    text.extend_from_slice(b"}}");
    Bytes::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(result: &str) -> Result<Page, ScanError> {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
        Page::scan(&Message::scan(Bytes::from(text)).unwrap(), ListKind::Tools)
    }

    #[test]
    fn slices_the_items_out_as_they_are_written() {
        let page = page(
            r#"{ "tools" : [ {"name":"a", "x":1e999 } ,{"inputSchema":{"name":"no"},"name":"b\u0062"}],
                 "nextCursor":"","ttlMs":50,"cacheScope":"public" }"#,
        )
        .unwrap();
        let names: Vec<&str> = page.items.iter().map(Item::name).collect();
        assert_eq!(names, ["a", "bb"]);
        assert_eq!(page.items[0].bytes(), r#"{"name":"a", "x":1e999 }"#);
        assert_eq!(
            page.items[0].renamed("s__\"a\""),
            r#"{"name":"s__\"a\"", "x":1e999 }"#
        );
        assert_eq!(
            (page.next_cursor.as_deref(), page.ttl_ms),
            (Some(""), Some(50))
        );
        assert!(page.is_public);
        assert_eq!(page.dropped, 0);
    }

    #[test]
    fn finds_a_tools_input_schema() {
        let schema = |item: &'static str| {
            let item = Item::read(Bytes::from_static(item.as_bytes()), "name").unwrap();
            item.input_schema().map(str::to_owned)
        };
        assert_eq!(
            schema(r#"{"name":"a","inputSchema": {"type":"object" } }"#).as_deref(),
            Some(r#"{"type":"object" }"#)
        );
        assert_eq!(schema(r#"{"name":"a","inputSchema":true}"#), None);
        assert_eq!(schema(r#"{"name":"a"}"#), None);
    }

    #[test]
    fn drops_items_that_nothing_can_refer_to() {
        let page =
            page(r#"{"tools":[{"title":"x"},{"name":1},{"name":"a","name":"b"},7,{"name":"ok"}]}"#)
                .unwrap();
        assert_eq!((page.items.len(), page.dropped), (1, 4));
        assert_eq!(
            (page.next_cursor, page.ttl_ms, page.is_public),
            (None, None, false)
        );
    }

    #[test]
    fn refuses_what_is_not_a_list() {
        for result in [
            r#"{}"#,
            r#"{"tools":{}}"#,
            r#"{"tools":[],"nextCursor":1}"#,
            r#"{"prompts":[]}"#,
        ] {
            assert!(page(result).is_err(), "{result}");
        }
    }

    #[test]
    fn assembles_a_page_that_reads_back() {
        let items = [r#"{"name":"a"}"#, r#"{"name":"b"}"#].map(Bytes::from);
        let further = [("nextCursor", "\"c\""), ("ttlMs", "0")];
        let text = answer("\"x\"", "tools", &join(&items), &further);
        assert_eq!(
            text,
            r#"{"jsonrpc":"2.0","id":"x","result":{"tools":[{"name":"a"},{"name":"b"}],"nextCursor":"c","ttlMs":0}}"#
        );
        assert_eq!(
            answer("1", "tools", &join([]), &[]),
            r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#
        );
        let read = Page::scan(&Message::scan(text).unwrap(), ListKind::Tools).unwrap();
        assert_eq!(
            (read.items.len(), read.next_cursor.as_deref()),
            (2, Some("c"))
        );
    }
}
