import { expect, test } from "vitest";
import { Html, html } from "./html.ts";

test("what is put in is text, in content and in attributes", () => {
  const hostile = `<script>"'&`;
  expect(html`<a title="${hostile}">${hostile}</a>`.markup).toBe(
    '<a title="&lt;script&gt;&quot;&#39;&amp;">&lt;script&gt;&quot;&#39;&amp;</a>',
  );
});

test("markup within markup stays as it is", () => {
  expect(html`<ul>${[html`<li>${1}</li>`, new Html("<hr>")]}</ul>`.markup).toBe(
    "<ul><li>1</li>\n<hr></ul>",
  );
});

test("a backslash in the template or in a value is no escape", () => {
  expect(html`a\n${"b\\n"}`.markup).toBe("a\\nb\\n");
});
