// What a screen reader and a tired eye need, checked on a finished page. Returns the faults as texts.
(() => {
  const faults = [];
  const shown = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const say = (element, what) => faults.push(`${what}: <${element.tagName.toLowerCase()} class="${element.className.baseVal ?? element.className}"> ${element.textContent.trim().slice(0, 40)}`);

  const nameOf = (element) => {
    const labelled = (element.getAttribute("aria-labelledby") ?? "").split(/\s+/).map((id) => document.getElementById(id)?.textContent ?? "").join(" ");
    const labels = [...(element.labels ?? [])].map((label) => label.textContent).join(" ");
    return (element.getAttribute("aria-label") || labelled.trim() || labels || element.textContent || element.getAttribute("title") || "").trim();
  };
  for (const element of document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, dialog, [role=img], [role=group]")) {
    if (shown(element) && !nameOf(element)) say(element, "no name");
  }
  for (const element of document.querySelectorAll("svg:not([role=img])")) {
    if (shown(element) && !element.closest("[aria-hidden=true]")) say(element, "a picture that is neither named nor hidden");
  }
  for (const element of document.querySelectorAll("[id]")) {
    if (document.querySelectorAll(`#${CSS.escape(element.id)}`).length > 1) say(element, `id ${element.id} twice`);
  }
  const headings = [...document.querySelectorAll("main :is(h1, h2, h3, h4, h5, h6)")].filter(shown);
  if (headings.filter((heading) => heading.tagName === "H1").length !== 1) faults.push("not exactly one h1");
  headings.forEach((heading, index) => {
    const level = Number(heading.tagName[1]);
    const before = index ? Number(headings[index - 1].tagName[1]) : 0;
    if (level > before + 1) say(heading, "a heading that skips a level");
  });
  if (!document.title || !document.documentElement.lang) faults.push("no title or language");

  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, bottom) => [0, 1, 2].map((i) => top[i] * top[3] + bottom[i] * (1 - top[3])).concat(1);
  const backdrop = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
  };
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const contrast = (one, other) => {
    const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.textContent.trim() || !shown(element) || element.closest("script, template, .skip, .visually-hidden, option")) continue;
    const style = getComputedStyle(element);
    const behind = backdrop(element);
    const size = parseFloat(style.fontSize);
    const wanted = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    const found = contrast(over(rgba(style.color), behind), behind);
    if (found < wanted) say(element, `contrast ${found.toFixed(2)}`);
  }
  for (const field of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    if (!shown(field) || field.closest(".ask, .visually-hidden") || field.matches(".visually-hidden")) continue;
    const found = contrast(rgba(getComputedStyle(field).borderTopColor), backdrop(field.parentElement));
    if (found < 3) say(field, `contrast of its border ${found.toFixed(2)}`);
  }
  return [...new Set(faults)];
})()
