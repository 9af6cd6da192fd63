//! The pages, in a real browser: what they show, what their buttons do, by mouse and by keyboard, and that they call nobody else.

use super::Bed;
use crate::support::browser::Browser;
use nearfield::server::{Options, Tokens};

fn open(bed: &Bed, path: &str, width: u32, is_dark: bool) -> Option<Browser> {
    Browser::open(&format!("http://{}{path}", bed.server.addr()), width, is_dark)
}

#[test]
fn the_dashboard_shows_the_store_and_searches_it_by_keyboard() {
    let bed = Bed::filled(120);
    let Some(mut page) = open(&bed, "/", 1200, false) else { return };
    page.until("document.querySelector('#collections td').textContent === 'docs'");
    page.until("document.getElementById('rows').textContent === '120'");
    page.until("document.getElementById('mirror').textContent === 'disabled'");
    assert_eq!(page.eval("document.getElementById('push').disabled"), true, "there is nobody to push to");

    // From the id on with keys alone: Tab to the filter, Tab to the button, Enter.
    page.eval("document.getElementById('near').focus()");
    page.write("7");
    page.press("Tab");
    page.write("{\"even\": true}");
    page.press("Tab");
    page.press("Enter");
    page.until("document.querySelectorAll('#hits tr').length === 10");
    let first = page.eval("document.querySelector('#hits tr').innerText");
    assert!(
        first.as_str().unwrap().contains("text 6") || first.as_str().unwrap().contains("text 8"),
        "{first}"
    );
    page.until("document.getElementById('explained').textContent.includes('plan')");
    page.picture("dashboard-wide-light");

    // By words, and by words near to a row.
    page.eval("document.getElementById('near').value = document.getElementById('filter').value = ''");
    page.eval("document.getElementById('text').focus()");
    page.write("text 42");
    page.press("Enter");
    page.until("document.querySelectorAll('#hits tr')[0]?.innerText.includes('text 42')");
    page.until("[...document.querySelectorAll('#hits tr:first-child mark')].map((m) => m.textContent).join() === 'text,42'");
    assert_eq!(
        page.eval("document.querySelector('#hits td:nth-child(2)').textContent"),
        "",
        "no vector was compared"
    );
    page.eval(
        "document.getElementById('mode').value = 'hybrid'; document.getElementById('near').value = '60'",
    );
    page.eval("document.getElementById('form').requestSubmit()");
    page.until("document.querySelectorAll('#hits tr').length === 10 && document.querySelector('#hits td:nth-child(2)').textContent !== ''");
    page.picture("dashboard-search");
    page.eval("document.getElementById('near').value = document.getElementById('text').value = ''");
    page.eval("document.getElementById('form').requestSubmit()");
    page.until("document.getElementById('took').textContent === 'type a text, or what it is to be near to'");

    page.eval(
        "document.getElementById('near').value = 'no such'; document.getElementById('form').requestSubmit()",
    );
    page.until("document.getElementById('took').textContent.includes('there is no chunk')");
    assert_eq!(page.complaints, Vec::<String>::new());
}

#[test]
fn the_dashboard_fits_a_narrow_screen_in_the_dark() {
    let bed = Bed::filled(30);
    let Some(mut page) = open(&bed, "/dashboard", 360, true) else { return };
    page.until("document.getElementById('rows').textContent === '30'");
    assert_eq!(page.eval("document.documentElement.scrollWidth <= 360"), true, "nothing hangs over the side");
    let colours = page.eval("getComputedStyle(document.body).backgroundColor");
    assert_eq!(colours, "rgb(18, 21, 27)");
    page.picture("dashboard-narrow-dark");
    assert_eq!(page.complaints, Vec::<String>::new());
}

#[test]
fn the_description_is_read_as_a_page() {
    let bed = Bed::new();
    let Some(mut page) = open(&bed, "/docs", 1000, false) else { return };
    page.until("document.querySelectorAll('details').length > 25");
    page.eval("document.querySelector('details summary').click()");
    page.until("document.querySelector('details[open]') !== null");
    page.picture("docs");
    assert_eq!(page.complaints, Vec::<String>::new());
}

#[test]
fn a_page_without_a_token_is_refused() {
    let tokens = Tokens::parse("admin 0123456789abcdef0123456789abcdef").unwrap();
    let bed = Bed::with(Options { tokens, ..Options::default() });
    let answer = bed.client().get("/");
    assert_eq!(answer.status, 401);
    assert!(answer.header("www-authenticate").contains("Basic realm="), "a browser asks for it");
    // me:0123456789abcdef0123456789abcdef, and a wrong one.
    let send = |value: &str| bed.client().send("GET", "/", &[("authorization", value)], b"").status;
    assert_eq!(send("Basic bWU6MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="), 200);
    assert_eq!(send("basic bWU6MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="), 200);
    for wrong in ["Basic bWU6MDEy", "Basic", "Basic !!!!", "Basic bm9jb2xvbg==", "Digest x"] {
        assert_eq!(send(wrong), 401, "{wrong}");
    }
}

#[cfg(feature = "mirror")]
mod mirrored {
    use super::*;
    use crate::support::postgres::Cluster;
    use crate::support::sql::sql;
    use crate::support::wait;
    use nearfield::server::Server;
    use nearfield::{Chunk, Metric, Mirror, MirrorOptions, MirrorState, Schema, Store};
    use std::time::Duration;

    #[test]
    fn a_repair_is_rehearsed_confirmed_and_done() {
        let database = Cluster::shared().database();
        let store = Store::memory();
        let docs = store.create_collection("docs", Schema::new(2, Metric::L2)).unwrap();
        docs.upsert(
            (0..20).map(|n| Chunk::new(format!("row-{n:02}")).vector([n as f32, 1.0]).text("as it was")),
        )
        .unwrap();
        let mirror = Mirror::start(&store, MirrorOptions::from_url(&database.url).audit_seconds(0)).unwrap();
        mirror.wait_mirrored(store.token(), Duration::from_secs(60)).unwrap();
        // Until both sides have been compared once, what is missing there is sent again.
        wait::until("in sync", || mirror.status().state == MirrorState::InSync);
        sql(
            &database.url,
            "ALTER TABLE nearfield.chunk DISABLE TRIGGER USER; \
             DELETE FROM nearfield.chunk WHERE id IN ('row-03', 'row-04'); \
             ALTER TABLE nearfield.chunk ENABLE TRIGGER USER;",
        );
        let options = Options { bind: "127.0.0.1:0".parse().unwrap(), ..Options::default() };
        let server = Server::bind(store.clone(), Some(mirror), options).unwrap().start().unwrap();
        let bed = Bed { store, server };
        let Some(mut page) = open(&bed, "/", 1200, true) else { return };
        page.until("document.getElementById('rows').textContent === '20'");
        page.until("!document.getElementById('audit').disabled");
        page.eval("document.getElementById('audit').click()");
        page.until("document.getElementById('audits').innerText.includes('2 differ')");
        // What would change is shown; the button that leaves it has the focus.
        page.eval("document.getElementById('repair').click()");
        page.until("document.getElementById('confirm').open");
        let shown = page.eval("document.getElementById('confirm-more').textContent");
        let told = page.eval(
            "document.getElementById('confirm').innerText + document.getElementById('audits').innerText",
        );
        assert!(shown.as_str().unwrap().contains("row-03"), "{shown}: {told}");
        page.picture("dashboard-confirm-dark");
        page.press("Enter");
        page.until("!document.getElementById('confirm').open");
        assert_eq!(docs.count(None).unwrap(), 20, "it was left");
        page.eval("document.getElementById('repair').click()");
        page.until("document.getElementById('confirm').open");
        page.eval("document.getElementById('yes').click()");
        page.until("document.getElementById('audits').innerText.includes('equal')");
        page.until("document.getElementById('rows').textContent === '18'");
        assert_eq!(docs.count(None).unwrap(), 18);
        page.picture("dashboard-mirror-dark");
        assert_eq!(page.complaints, Vec::<String>::new());
    }
}
