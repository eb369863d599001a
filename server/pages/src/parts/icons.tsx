// Small drawings of our own; each stands beside a word, so none has a name for screen readers.
const PATHS = {
  succeeded: "M3.5 8.5l3 3 6-7",
  failed: "M4.5 4.5l7 7m0-7l-7 7",
  cancelled: "M4.5 8h7",
  lost: "M6 6a2 2 0 1 1 2.6 1.9c-.4.2-.6.5-.6 1v.6m0 2v.1",
  incomplete: "M8 4v5m0 2.4v.2",
  running: "M6 4.5l5.5 3.5L6 11.5z",
  registered: "M8 2.5a5.5 5.5 0 1 0 .01 0M8 5v3.200l2 1.300",
  warning: "M8 4v5m0 2.4v.2",
  queued: "M3.500 4.500h9M3.500 8h9M3.500 11.500h5",
  starting: "M8 3.500v9M4.500 9l3.500 3.500L11.500 9",
  copy: "M5.5 5.5h7v7h-7zM3.5 10.5v-7h7",
  download: "M8 3v7m-3-3l3 3 3-3M3.5 13h9",
  pause: "M6 4v8m4-8v8",
  play: "M5.5 4l6 4-6 4z",
  down: "M4 6.5l4 4 4-4",
  right: "M6.5 4l4 4-4 4",
  search: "M7 3.5a3.5 3.5 0 1 0 .01 0M9.6 9.6L13 13",
  wrap: "M3 4.5h10M3 8h8a2 2 0 0 1 0 4H8.5m1.5-1.5L8.5 12 10 13.5M3 11.5h3",
  link: "M6.5 9.5l3-3M7 5l1.2-1.2a2.5 2.5 0 0 1 3.5 3.5L10.5 8.5M9 11l-1.2 1.2a2.5 2.5 0 0 1-3.5-3.5L5.500 7.500",
  sun: "M8 5.5a2.500 2.500 0 1 0 .01 0M8 2v1m0 10v1M2 8h1m10 0h1M3.800 3.800l.7.7m7 7l.7.7m0-8.400l-.7.7m-7 7l-.7.7",
  moon: "M12.500 9.500A5 5 0 0 1 6.500 3.500a5 5 0 1 0 6 6z",
  close: "M4.500 4.500l7 7m0-7l-7 7",
  end: "M4 4l4 4 4-4M4 8.500l4 4 4-4",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  const filled = name === "running" || name === "play";
  return (
    <svg class="icon" viewBox="0 0 16 16" width={size} height={size} aria-hidden="true">
      <path d={PATHS[name]} fill={filled ? "currentColor" : "none"} stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" />
    </svg>
  );
}
