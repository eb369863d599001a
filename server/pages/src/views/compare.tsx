import { Empty } from "../parts/common";
export function ComparePage(_: { asset?: string; query?: URLSearchParams }) { return <Empty title="ComparePage" />; }
