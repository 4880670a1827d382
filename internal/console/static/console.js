// What pages do beyond what they do without it: live update, the age of times,
// and Test Connection in place. It writes text and attributes, never HTML.
"use strict";
(() => {
  const ago = (seconds) => {
    const s = Math.max(seconds, 0);
    if (s < 1) return "now";
    if (s < 60) return Math.floor(s) + "s ago";
    if (s < 3600) return Math.floor(s / 60) + "m ago";
    if (s < 86400) return Math.floor(s / 3600) + "h ago";
    return Math.floor(s / 86400) + "d ago";
  };

  // Times are shown by this machine's clock: what it is ahead by is not known.
  const tick = () => {
    for (const t of document.querySelectorAll("time")) {
      t.textContent = ago((Date.now() - Date.parse(t.dateTime)) / 1000);
      t.title = t.dateTime;
    }
  };
  setInterval(tick, 1000);

  const showTime = (place, stamp) => {
    let t = place.querySelector("time");
    if (!stamp) {
      if (t) place.replaceChildren("–");
      return;
    }
    if (!t) {
      t = document.createElement("time");
      place.replaceChildren(t);
    }
    t.dateTime = stamp;
    t.title = stamp;
    t.textContent = ago((Date.now() - Date.parse(stamp)) / 1000);
  };

  const lag = (seconds) => {
    if (seconds === undefined) return "–";
    return seconds < 10 ? seconds.toFixed(1) + " s" : ago(seconds).replace(" ago", "");
  };

  const ratePath = (rate) => {
    const most = Math.max(1, ...rate);
    const width = Math.floor(120 / rate.length);
    const high = rate.map((n) => Math.floor(22 * n / most));
    return "M0 24" + high.map((h, i) => (h === high[i + 1] ? "" : "V" + (24 - h) + "H" + (i + 1) * width)).join("") + "V24Z";
  };

  const page = (address) => (/^https?:\/\//.test(address) ? address : "");
  const hrefs = { connector: (name) => name && "/connectors/" + encodeURIComponent(name), console: (address) => page(address) && address + "/fleet" };

  // A place says which field it shows: as text, as a time, or as a bar's length.
  const fill = (place, values) => {
    for (const p of place.querySelectorAll("[data-f]")) {
      const value = values[p.dataset.f] ?? "";
      if (p.textContent !== String(value)) p.textContent = value;
      if (p.dataset.state !== undefined) p.dataset.state = value;
      if (p.tagName !== "A") continue;
      const to = hrefs[p.dataset.f](value);
      if (to) p.href = to;
      else p.removeAttribute("href");
    }
    for (const p of place.querySelectorAll("[data-at]")) showTime(p, values[p.dataset.at]);
    for (const p of place.querySelectorAll("[data-w]")) p.setAttribute("width", values[p.dataset.w]);
  };

  const show = (row, c) => {
    const [budget, rate] = [c.rate_limit, c.events_per_minute];
    const inAll = rate.reduce((a, n) => a + n, 0) + " in " + rate.length + " minutes, at most " + Math.max(...rate) + " in one";
    fill(row, {
      ...c, lag_seconds: lag(c.lag_seconds), budget: budget ? Math.floor(100 * budget.remaining / budget.limit) + " %" : "–", rate: inAll,
      why: (c.stage ? c.stage + " Stage: " : "") + c.message + (c.advice ? " → " + c.advice : ""),
    });
    for (const p of row.querySelectorAll("[data-rate]")) {
      p.setAttribute("d", ratePath(rate));
      p.parentNode.setAttribute("aria-label", inAll);
    }
  };

  const rows = new Map();
  for (const row of document.querySelectorAll("[data-connector]")) {
    const name = row.dataset.connector;
    rows.set(name, [...(rows.get(name) || []), row]);
  }

  // Lists that are told whole: a row stays where it is, so that what has the focus
  // keeps it.
  const made = (row) => document.getElementById(row).content.firstElementChild.cloneNode(true);
  const list = (lists) => {
    for (const body of document.querySelectorAll("tbody[data-rows]")) {
      const all = lists[body.dataset.rows];
      if (!all) continue;
      while (body.rows.length > all.length) body.deleteRow(-1);
      while (body.rows.length < all.length) body.append(made(body.dataset.rows + "-row"));
      all.forEach((values, i) => fill(body.rows[i], values));
      body.closest("section").hidden = all.length === 0;
      for (const p of document.querySelectorAll('[data-without="' + body.dataset.rows + '"]')) p.hidden = all.length > 0;
    }
  };

  // A job is shown in its row, a new one in a row before the others.
  const jobs = document.getElementById("jobs");
  const none = document.getElementById("none");
  const showJob = (j) => {
    let row = [...jobs.rows].find((r) => r.dataset.job === j.id);
    if (!row) {
      row = made("job");
      row.dataset.job = j.id;
      jobs.prepend(row);
      jobs.closest("section").hidden = false;
      if (none) none.hidden = true;
    }
    fill(row, j);
    row.querySelector("svg").setAttribute("aria-label", j.percent + " % compared");
    const cancel = row.querySelector("form");
    if (!cancel) return;
    cancel.hidden = j.ended;
    cancel.action = "/jobs/" + encodeURIComponent(j.id) + "/cancel";
    cancel.querySelector("button").setAttribute("aria-label", "Cancel " + j.id);
  };

  const main = document.getElementById("main");
  const trouble = document.getElementById("trouble");
  const away = document.getElementById("away");
  const elsewhere = document.getElementById("elsewhere");
  let source = null;
  let silent = 0;
  let last = new Date();
  const lost = () => {
    document.getElementById("shown").textContent = last.toTimeString().slice(0, 8);
    away.hidden = false;
  };
  // Where else the same is shown: an address is a link only if it is one of a page.
  const others = (list) => elsewhere.replaceChildren(...list.filter((o) => page(o.console)).map((o) => {
    const [li, a, at] = ["li", "a", "span"].map((tag) => document.createElement(tag));
    a.href = o.console + elsewhere.dataset.path;
    [a.textContent, at.textContent, at.className] = [o.instance, o.console, "small"];
    li.append(a, " ", at);
    return li;
  }));
  // A stream says something every five seconds; one that does not is dead, though
  // its connection may not know it.
  const heard = () => {
    clearTimeout(silent);
    away.hidden = true;
    last = new Date();
    silent = setTimeout(() => { lost(); reopen(); }, 15000);
  };
  const close = () => {
    clearTimeout(silent);
    if (source) source.close();
    source = null;
  };
  const reopen = () => { close(); open(); };
  const open = () => {
    const query = [main.dataset.live, ...[...rows.keys()].map((name) => "connector=" + encodeURIComponent(name))];
    source = new EventSource("/api/v1/stream?" + query.join("&"));
    const on = (event, then) => source.addEventListener(event, (e) => { heard(); then(JSON.parse(e.data)); });
    on("connector", (c) => { for (const row of rows.get(c.connector) || []) show(row, c); });
    on("job", showJob);
    for (const event of ["details", "audit", "fleet"]) on(event, list);
    on("removed", (c) => {
      for (const row of rows.get(c.connector) || []) {
        if (row.tagName === "TR") row.remove();
        else if (row.id === "connector") fill(row, { state: "REMOVED", why: "It was removed." });
      }
    });
    on("counts", (e) => {
      others(e.elsewhere);
      trouble.hidden = !e.trouble;
      trouble.querySelector("span").textContent = e.trouble;
      let all = 0;
      for (const n of Object.values(e.counts)) all += n;
      for (const b of document.querySelectorAll("b[data-count]")) b.textContent = b.dataset.count ? e.counts[b.dataset.count] || 0 : all;
      if (!jobs) return;
      showTime(document.getElementById("read"), e.jobs_at);
      if (none) none.hidden = !e.jobs_at || jobs.rows.length > 0;
    });
    source.onerror = () => {
      lost();
      if (!source || source.readyState !== EventSource.CLOSED) return;
      setTimeout(() => { if (!document.hidden) reopen(); }, 5000);
      // Who is not let in any more is shown the way in.
      fetch(location, { method: "HEAD" }).then((res) => { if (res.status === 401) location.reload(); }, () => {});
    };
  };
  if (main.dataset.live !== undefined) {
    // A browser opens six connections to a host: a page that nobody sees has none.
    document.addEventListener("visibilitychange", () => { if (document.hidden) close(); else open(); });
    if (!document.hidden) open();
  }

  // A form is sent once, and says so.
  for (const form of document.querySelectorAll("main form[method=post]")) {
    form.addEventListener("submit", (e) => {
      const button = e.submitter;
      if (!button || !button.dataset.busy || e.defaultPrevented) return;
      button.textContent = button.dataset.busy;
      setTimeout(() => { button.disabled = true; });
    });
  }

  // Test Connection is answered in place, so that what was typed stays.
  const form = document.getElementById("form");
  const test = document.getElementById("test");
  const result = document.getElementById("result");
  if (!form) return;

  const say = (good, lines) => {
    result.hidden = false;
    result.className = "note " + (good ? "good" : "bad");
    result.replaceChildren(...lines.filter(Boolean).map((line, i) => {
      const p = document.createElement("p");
      const inner = i === 0 ? document.createElement("b") : p;
      inner.textContent = line;
      if (inner !== p) p.append(inner);
      return p;
    }));
  };

  const mark = (errors) => {
    for (const input of form.querySelectorAll("input")) {
      const wrong = document.getElementById(input.name + "-wrong");
      if (!wrong) continue;
      const e = errors.find((x) => x.field === input.name || input.name.startsWith(x.field + "."));
      wrong.textContent = e ? e.detail : "";
      if (e) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    }
  };

  test.addEventListener("click", async (e) => {
    e.preventDefault();
    const v = (name) => form.elements[name].value.trim();
    const label = test.textContent;
    test.textContent = test.dataset.busy;
    test.disabled = true;
    try {
      const res = await fetch("/api/v1/check", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ name: v("name"), type: v("type"), domain: v("domain"), client_id: v("client_id"), client_secret: v("client_secret"), base_url: v("base_url"), held: v("held") }),
      });
      const body = await res.json();
      mark(body.errors || []);
      if (!res.ok) {
        say(false, [body.detail, ...(body.errors || []).map((x) => x.field + " " + x.detail)]);
      } else if (body.ok) {
        say(true, [body.message + " (" + body.took_seconds.toFixed(1) + " s)"]);
      } else {
        say(false, ["⚠ " + body.stage + " Stage: " + body.message, body.advice, body.cause, body.request_id && "request id " + body.request_id]);
      }
    } catch {
      say(false, ["This instance does not answer. Try again, or ask another one."]);
    } finally {
      test.textContent = label;
      test.disabled = false;
      test.focus();
    }
  });
})();
