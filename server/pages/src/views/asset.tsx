import { Empty } from "../parts/common";
export function AssetPage(_: { asset?: string; query?: URLSearchParams }) { return <Empty title="AssetPage" />; }
