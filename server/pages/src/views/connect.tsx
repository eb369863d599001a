import { Empty } from "../parts/common";
export function ConnectPage(_: { asset?: string; query?: URLSearchParams }) { return <Empty title="ConnectPage" />; }
