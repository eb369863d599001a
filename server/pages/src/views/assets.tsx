import { Empty } from "../parts/common";
export function AssetsPage(_: { asset?: string; query?: URLSearchParams }) { return <Empty title="AssetsPage" />; }
