// The pages' entry: the frame around every page, and which page an address shows.
import { render } from "preact";
import { useState } from "preact/hooks";
import { serverVersion, signOut } from "./lib/api";
import { href, Link, usePlace, type Place } from "./lib/router";
import { Empty, useTitle } from "./parts/common";
import { Icon } from "./parts/icons";
import { AssetPage } from "./views/assets/asset";
import { AssetsPage } from "./views/assets/assets";
import { ComparePage } from "./views/compare";
import { ConnectPage } from "./views/connect";
import { InvocationPage } from "./views/invocation/invocation";
import { InvocationsPage } from "./views/invocations/invocations";

const PLACES: [string, string][] = [
  ["", "Invocations"],
  ["assets", "Assets"],
  ["compare", "Compare"],
  ["connect", "Connect"],
];

function App() {
  const place = usePlace();
  const first = place.path.split("/")[0] ?? "";
  const current = first === "invocations" ? "" : first;
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => {
        event.preventDefault();
        document.getElementById("main")?.focus();
      }}>
        Skip to the content
      </a>
      <header class="top">
        <Link to={href("")} class="brand">
          <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">
            <path d="M7 27V13a6 6 0 0 1 6-6h11" fill="none" stroke="currentColor" stroke-width="4.5" stroke-linecap="round" />
            <circle cx="24" cy="17" r="2.8" fill="currentColor" />
            <circle cx="24" cy="25" r="2.8" fill="currentColor" />
          </svg>
          Standpipe
        </Link>
        <nav aria-label="Pages">
          {PLACES.map(([path, name]) => (
            <Link key={path} to={href(path)} aria-current={path === current ? "page" : undefined}>
              {name}
            </Link>
          ))}
        </nav>
        <div class="top-right">
          <Theme />
          <button type="button" class="ghost small" onClick={() => void signOut()}>
            Sign out
          </button>
        </div>
      </header>
      <main id="main" tabIndex={-1}>
        <Shown place={place} />
      </main>
      <footer class="bottom">
        Standpipe {serverVersion} · <a href={`${href("docs")}`}>HTTP interface</a>
      </footer>
    </>
  );
}

function Shown({ place }: { place: Place }) {
  const [first, second] = place.path.split("/");
  if (first === "" && second === undefined) return <InvocationsPage query={place.query} />;
  if (first === "invocations" && second) return <InvocationPage key={second} id={second} query={place.query} />;
  if (first === "assets" && second) {
    const key = decoded(place.path.slice("assets/".length));
    if (key === null) return <Nowhere />;
    return <AssetPage key={key} asset={key} query={place.query} />;
  }
  if (first === "assets") return <AssetsPage query={place.query} />;
  if (first === "compare") return <ComparePage query={place.query} />;
  if (first === "connect") return <ConnectPage />;
  return <Nowhere />;
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

function Nowhere() {
  useTitle("Not found");
  return <Empty page title="There is no page at this address.">The invocations are one click away, above.</Empty>;
}

function Theme() {
  const [dark, setDark] = useState(() =>
    document.documentElement.dataset["theme"] ? document.documentElement.dataset["theme"] === "dark" : matchMedia("(prefers-color-scheme: dark)").matches,
  );
  const turn = () => {
    const theme = dark ? "light" : "dark";
    document.documentElement.dataset["theme"] = theme;
    localStorage.setItem("standpipe-theme", theme);
    setDark(!dark);
    window.dispatchEvent(new Event("standpipe-theme"));
  };
  return (
    <button type="button" class="ghost small" onClick={turn} aria-label={dark ? "Light theme" : "Dark theme"} title={dark ? "Light theme" : "Dark theme"}>
      <Icon name={dark ? "sun" : "moon"} />
    </button>
  );
}

render(<App />, document.getElementById("app") as HTMLElement);
