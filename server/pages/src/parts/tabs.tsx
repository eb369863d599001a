// Tabs whose choice is in the address; arrow keys move between them.
import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { changeQuery } from "../lib/router";

export interface Tab {
  id: string;
  name: string;
  count?: number | string | undefined;
  alarming?: boolean;
}

export function Tabs({ tabs, chosen, label, children }: { tabs: Tab[]; chosen: string; label: string; children: ComponentChildren }) {
  const list = useRef<HTMLDivElement>(null);
  const choose = (id: string, focus = false) => {
    changeQuery({ tab: id === tabs[0]?.id ? null : id });
    if (focus) list.current?.querySelector<HTMLElement>(`#tab-${id}`)?.focus();
  };
  const move = (event: KeyboardEvent) => {
    const now = tabs.findIndex((tab) => tab.id === chosen);
    const to = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: tabs.length - 1 }[event.key];
    const tab = to === undefined ? undefined : tabs[(to + tabs.length) % tabs.length];
    if (tab) {
      event.preventDefault();
      choose(tab.id, true);
    }
  };
  return (
    <>
      <div class="tabs" role="tablist" aria-label={label} ref={list} onKeyDown={move}>
        {tabs.map((tab) => (
          <button type="button" role="tab" key={tab.id} id={`tab-${tab.id}`} aria-selected={tab.id === chosen} aria-controls="tab-panel" tabIndex={tab.id === chosen ? 0 : -1} onClick={() => choose(tab.id)}>
            {tab.name}
            {tab.count !== undefined && <span class={tab.alarming ? "count alarming" : "count"}>{tab.count}</span>}
          </button>
        ))}
      </div>
      <div role="tabpanel" id="tab-panel" aria-labelledby={`tab-${chosen}`} tabIndex={-1}>
        {children}
      </div>
    </>
  );
}
