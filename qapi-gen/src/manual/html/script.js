
// Search, the choice of a theme, and the place in the contents. The page can be read without any of them.
(() => {
  'use strict';
  const root = document.documentElement;
  const $ = (id) => document.getElementById(id);
  const element = (tag, attributes, ...children) => {
    const made = Object.assign(document.createElement(tag), attributes);
    made.append(...children);
    return made;
  };

  // The theme: that of the system until another one is chosen.
  const theme = $('theme');
  const next = { '': 'light', light: 'dark', dark: '' };
  const names = { '': 'Theme: system', light: 'Theme: light', dark: 'Theme: dark' };
  const showTheme = () => { theme.lastElementChild.textContent = names[root.dataset.theme ?? ''] ?? names['']; };
  theme.hidden = false;
  showTheme();
  theme.addEventListener('click', () => {
    root.dataset.theme = next[root.dataset.theme ?? ''] ?? '';
    try { localStorage.setItem('theme', root.dataset.theme); } catch { /* not kept, then */ }
    showTheme();
  });

  // What can be found: made from the page when it is first needed.
  const MOST = 60;
  let index;
  const build = () => {
    const found = [];
    const add = (name, kind, colour, id, about, weight, text) =>
      found.push({ name, lower: name.toLowerCase(), kind, colour, id, about, weight, text });
    for (const heading of document.querySelectorAll('main > section > :is(h2, h3)[id], main > section > h4[id]')) {
      add(heading.textContent, 'section', '', heading.id, '', 1, '');
    }
    for (const entry of document.querySelectorAll('.entry')) {
      const name = entry.querySelector('.self').textContent;
      const colour = entry.classList[1];
      const about = entry.querySelector(':scope > p:not(.about, .label)')?.textContent ?? '';
      add(name, entry.querySelector('.kind').textContent, colour, entry.id, about, 0, entry.textContent.toLowerCase());
      for (const row of entry.querySelectorAll('.members tbody tr')) {
        const member = row.querySelector('.self').textContent;
        add(member, 'member', colour, row.id, 'of ' + name, 2, '');
      }
    }
    return found;
  };

  const search = document.querySelector('search');
  const query = $('query');
  const results = $('results');
  let selected = -1;
  search.hidden = false;
  if (matchMedia('(hover: hover)').matches) query.placeholder += ': press /';

  // Lower is better: the whole name, its start, the start of a word, anywhere, the text.
  const rank = (item, words) => {
    let sum = item.weight;
    for (const word of words) {
      const at = item.lower.indexOf(word);
      if (at === 0) sum += item.lower.length === word.length ? 0 : 10;
      else if (at > 0) sum += /[a-z0-9]/.test(item.lower[at - 1]) ? 30 : 20;
      else if (item.text.includes(word)) sum += 100;
      else return -1;
    }
    return sum;
  };
  const find = (text) => {
    index ??= build();
    const words = text.toLowerCase().replaceAll('@', '').split(/\s+/).filter(Boolean);
    const ranked = [];
    if (words.length > 0) {
      for (const item of index) {
        const at = rank(item, words);
        if (at >= 0) ranked.push([at, item]);
      }
    }
    ranked.sort(([a, x], [b, y]) => a - b || x.name.length - y.name.length);
    return { words, items: ranked.map(([, item]) => item) };
  };
  // The name with what was looked for marked.
  const marked = (item, words) => {
    const name = element('b');
    let at = 0;
    const places = words.map((word) => [item.lower.indexOf(word), word.length]).filter(([start]) => start >= 0);
    for (const [start, length] of places.sort(([a], [b]) => a - b)) {
      if (start < at) continue;
      name.append(item.name.slice(at, start), element('mark', {}, item.name.slice(start, start + length)));
      at = start + length;
    }
    name.append(item.name.slice(at));
    return name;
  };
  const open = (shown) => {
    results.hidden = !shown;
    query.setAttribute('aria-expanded', shown);
    if (!shown) select(-1);
  };
  const select = (at) => {
    const options = results.querySelectorAll('[role=option]');
    options[selected]?.setAttribute('aria-selected', 'false');
    selected = options.length === 0 || at < 0 ? -1 : at % options.length;
    options[selected]?.setAttribute('aria-selected', 'true');
    options[selected]?.scrollIntoView({ block: 'nearest' });
    if (selected >= 0) query.setAttribute('aria-activedescendant', options[selected].id);
    else query.removeAttribute('aria-activedescendant');
  };
  const show = () => {
    const { words, items } = find(query.value);
    const lines = items.slice(0, MOST).map((item, at) => {
      const kind = element('span', { className: 'kind ' + item.colour }, item.kind);
      const link = element('a', { href: '#' + item.id, tabIndex: -1 }, kind, marked(item, words));
      if (item.about) link.append(element('small', {}, item.about));
      const line = element('li', { id: 'result-' + at }, link);
      line.setAttribute('role', 'option');
      line.setAttribute('aria-selected', 'false');
      return line;
    });
    const count = items.length > MOST ? `the best ${MOST} of ${items.length} shown` : `${items.length} found`;
    $('found').textContent = words.length > 0 ? count : '';
    if (items.length === 0) lines.push(element('li', { className: 'nothing' }, `Nothing is called “${query.value}”, and no text has it.`));
    results.replaceChildren(...lines);
    open(words.length > 0);
    if (items.length > 0) select(0);
  };

  query.addEventListener('input', show);
  query.addEventListener('focus', () => { if (query.value) show(); });
  query.addEventListener('keydown', (event) => {
    const options = results.querySelectorAll('[role=option]');
    if (event.key === 'ArrowDown') select(selected + 1);
    else if (event.key === 'ArrowUp') select(selected < 1 ? options.length - 1 : selected - 1);
    else if (event.key === 'Enter') options[selected]?.querySelector('a').click();
    else if (event.key === 'Escape' && !results.hidden) open(false);
    else return;
    event.preventDefault();
  });
  results.addEventListener('click', (event) => {
    if (!event.target.closest('a')) return;
    open(false);
    query.blur();
  });
  document.addEventListener('click', (event) => { if (!search.contains(event.target)) open(false); });
  document.addEventListener('keydown', (event) => {
    const typing = event.target.closest?.('input, textarea, [contenteditable]');
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !['/', 's'].includes(event.key)) return;
    event.preventDefault();
    query.select();
    query.focus();
  });

  // The place in the contents follows the text.
  const contents = $('contents');
  const places = [...document.querySelectorAll('main > section > :is(h2, h3, h4)[id], .entry')];
  const links = new Map([...contents.querySelectorAll('a[href^="#"]')].map((link) => [link.hash.slice(1), link]));
  let current;
  const follow = () => {
    let [low, high] = [0, places.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (places[middle].getBoundingClientRect().top < 96) low = middle + 1; else high = middle;
    }
    const link = links.get(places[Math.max(low - 1, 0)]?.id);
    if (link === current) return;
    current?.removeAttribute('aria-current');
    current = link;
    const part = current?.closest('details');
    if (part && !part.open) part.open = true;
    current?.setAttribute('aria-current', 'location');
    const [box, line] = [contents.getBoundingClientRect(), current?.getBoundingClientRect()];
    if (line && (line.top < box.top || line.bottom > box.bottom)) contents.scrollTop += line.top - box.top - box.height / 3;
  };
  let waiting = false;
  addEventListener('scroll', () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; follow(); });
  }, { passive: true });
  follow();

  // page.html?q=words searches at once.
  const asked = new URLSearchParams(location.search).get('q');
  if (asked) {
    query.value = asked;
    query.focus();
    show();
  }
})();
