use gateway_proto::admin::v1 as pb;
use proptest::prelude::*;
use tonic::Code;

use super::*;

fn tenant(name: &str, author: &str, revision: u64) -> pb::Tenant {
    pb::Tenant {
        name: format!("tenants/{name}"),
        author: author.to_owned(),
        revision,
        ..Default::default()
    }
}

fn short(name: &str) -> &str {
    name.strip_prefix("tenants/").unwrap()
}

fn tenants() -> Vec<pb::Tenant> {
    vec![
        tenant("a", "eve", 3),
        tenant("b", "adam \"x\"", 1),
        tenant("c", "eve", 1),
        tenant("d", "eve", 2),
    ]
}

fn asked<'a>(filter: &'a str, order_by: &'a str, page_token: &'a str) -> Asked<'a> {
    Asked {
        filter,
        order_by,
        page_token,
    }
}

fn names(filter: &str, order_by: &str) -> Result<String, Status> {
    let query = Query::read::<pb::Tenant>("tenants", asked(filter, order_by, ""))?;
    let (found, next) = query.page(tenants(), 100)?;
    assert_eq!(next, "");
    Ok(found.iter().map(|tenant| short(&tenant.name)).collect())
}

#[test]
fn what_is_wanted_comes_in_the_order_that_is_wanted() {
    for (filter, order_by, expected) in [
        ("", "", "abcd"),
        ("", "name desc", "dcba"),
        ("author = eve", "", "acd"),
        ("author = eve", "revision", "cda"),
        ("author=eve AND revision=1", "", "c"),
        (r#"author = "adam \"x\"""#, "", "b"),
        ("author = nobody", "", ""),
        ("", "author, revision desc", "badc"),
        ("", "author desc, revision asc", "cdab"),
    ] {
        assert_eq!(
            names(filter, order_by).unwrap(),
            expected,
            "{filter}|{order_by}"
        );
    }
}

#[test]
fn what_is_not_understood_says_what_and_where() {
    for (filter, order_by, said) in [
        ("author", "", "filter: a condition is"),
        ("author = ", "", "filter: a condition is"),
        (
            "author = a revision = 1",
            "",
            "filter: conditions are joined by AND",
        ),
        (
            "author = a OR revision = 1",
            "",
            "filter: conditions are joined by AND",
        ),
        ("author != a", "", "filter: `!` is not understood"),
        (
            "writer = a",
            "",
            "filter: there is no field `writer`: these are name",
        ),
        ("revision = one", "", "filter: `one` is no number"),
        ("author = \"a", "", "filter: a double quote is not closed"),
        ("", "writer", "order_by: there is no field `writer`"),
        ("", "name down", "order_by: `name down` is not"),
        ("", "name,,author", "order_by: has a comma too many"),
        ("", "update_time, a, b", "order_by: there is no field `a`"),
    ] {
        let refused = names(filter, order_by).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let message = refused.message();
        assert!(message.starts_with(said), "{filter}|{order_by}: {message}");
    }
}

#[test]
fn pages_lead_through_the_whole_list_once_whatever_happens_in_between() {
    let order = "revision desc";
    let mut seen = String::new();
    let mut token = String::new();
    let mut all = tenants();
    loop {
        let query = Query::read::<pb::Tenant>("tenants", asked("", order, &token)).unwrap();
        let (found, next) = query.page(all.clone(), 1).unwrap();
        seen.push_str(short(&found[0].name));
        // What was shown last goes away, as things do.
        all.retain(|tenant| tenant.name != found[0].name);
        if next.is_empty() {
            break;
        }
        token = next;
    }
    assert_eq!(seen, "adbc");
}

#[test]
fn a_page_token_is_of_its_own_list_alone() {
    let query = Query::read::<pb::Tenant>("tenants", asked("", "author", "")).unwrap();
    let (_, token) = query.page(tenants(), 1).unwrap();
    for (filter, order_by, token, said) in [
        ("", "author desc", &*token, "is of another list"),
        ("author = eve", "author", &token, "is of another list"),
        ("", "author", "x", "is not the `next_page_token`"),
        ("", "author", "e30", "is not the `next_page_token`"),
    ] {
        let refused = Query::read::<pb::Tenant>("tenants", asked(filter, order_by, token));
        let message = refused.unwrap_err().message().to_owned();
        assert!(message.contains(said), "{message}");
    }
}

proptest! {
    #[test]
    fn no_text_breaks_it(filter in ".{0,60}", order_by in ".{0,40}", token in ".{0,60}") {
        let asked = asked(&filter, &order_by, &token);
        if let Ok(query) = Query::read::<pb::Tenant>("tenants", asked) {
            query.page(tenants(), 2).unwrap();
        }
    }

    #[test]
    fn any_quoted_text_is_a_value(text in ".{0,40}") {
        let escaped = text.replace('\\', r"\\").replace('"', "\\\"");
        let filter = format!("author = \"{escaped}\"");
        let query = Query::read::<pb::Tenant>("tenants", asked(&filter, "", "")).unwrap();
        let (found, _) = query.page(vec![tenant("a", &text, 1)], 2).unwrap();
        prop_assert_eq!(found.len(), 1);
    }
}
