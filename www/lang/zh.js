export default `
seconds: {n} 秒
millis: {n} 毫秒
machines: 设备
people: 在线人员
talk: 聊天与日志
chat_only: 仅聊天
stops: 紧急停止
logout: 退出
enter: 重新进入
send: 发送
cancel: 取消
say_label: 发给所有在线人员的消息
me: {user} · {role} · {seat} 号席位
role_viewer: 观察员
role_operator: 操作员
role_admin: 管理员

state_connecting: 正在连接
state_open: 实时
state_full: 等待中
state_signed_out: 未登录
state_lost: 无连接
quiet: 已静默 {s}
as_of: 这是 {time} 的情况，不是实时的。
again: ，每秒重试一次。
coming: ，正在返回。
lost_silent: 收不到主板的任何信号{again}
lost_closed: 与主板的连接断开了{again}
lost_unreachable: 主板没有应答{again}
lost_shutdown: 主板正在关闭{again}
lost_lost: 主板曾失去我们的联系{coming}
lost_slow: 本页太久没有接收数据{coming}
lost_stalled: 本页没有应答，席位被占用{coming}
lost_refused: 主板拒绝：{message}
full: 席位已满：{max} 个席位已占 {taken} 个。一有空位就轮到您。
over_logout: 您已退出，浏览器已忘记密码。
over_evicted: 管理员收回了您的席位。
over_idle: 您长时间没有操作，席位已释放。
over_replaced: 您从别处登录，席位已转到那里。
over_expired: 您的会话已结束。

full_title: 席位已满
full_how: 本主板共有 {seats} 个席位，现在没有空位；一有空位您就能进入。
full_people: 当前在线
full_again: 本页会自动重试。
full_silent: 主板没有应答。

seats: {max} 个席位已占 {taken} 个
seat: 席位 {n}
you: {user}（您）
since: 自 {time}
present: 在线
suspect: 静默
stalled: 卡住
why_suspect: 已 {s} 没有信号
why_page: 页面没有应答
why_transport: 不接收数据
why_nolink: 普通页面或 curl
round_trip: 往返时间
controls: 控制 {devices}
evict: 请出
evict_ask: 收回 {user} 的席位？一分钟内不能回来。
evict_yes: 请出 {user}
not_done: 未执行：{message}

joined: {user} 上线，{seat} 号席位
returned: {user} 回来了，{seat} 号席位
left: {user} 离开
left_logout: 已退出
left_evicted: 被管理员请出
left_idle: 太久没有操作
left_replaced: 从别处登录
left_slow: 太久没有接收数据
left_stalled: 页面卡住，席位被占用
left_expired: 会话结束
lost: {user} 失联：静默 {s}，{why}
evidence_no_ack: 不再有确认
evidence_one_way: 能说但听不到
evidence_keepalive: 探测无应答
evidence_reset: 连接被重置
evidence_unreachable: 网络报告不可达
turned_away: 来自 {addr} 的 {user} 没有找到空席位
gap: 此处缺少一些事件。
restarted: 主板已重新启动。
unknown_sent: 连接断开了。如果上面没有您的消息，请重新发送。

up: 在线
down: 离线
down_left: 自行离开
down_lost: 失联，{evidence_no_ack}
down_silent: 程序没有信号
down_replaced: 同名设备接替
down_protocol: 违反协议
free: 无人控制
held: {user} 正在控制
held_here: 由您控制
take: 取得控制
release: 交还
give: 移交…
force: 强制接管
give_ask: 把 {device} 移交给谁？对方有 10 秒接受。
give_nobody: 没有其他操作员在线。
offered: 已向 {user} 提出移交，10 秒有效。
force_ask: 从 {user} 手中接管 {device}？设备会照常运行。
offers: {user} 把它移交给您
taken: {user} 取得 {device} 的控制
released: {user} 交还 {device}
given: {was} 把 {device} 交给 {user}
forced: {user} 从 {was} 强制接管 {device}
ended: {was} 失去 {device} 的控制：{why}。
ended_safe: {ended}设备已被要求进入安全状态。
end_lost: 失联
end_left: 离开
end_page: 页面没有应答
end_lease: 租期已到
end_device: 设备离开
end_shutdown: 主板停止
late: 迟到
wait: {command}：等待应答…
no: {command}：被设备拒绝
ok: {command}：完成
gone: {command}：没有应答，不知是否执行
refusal: {command}：未转发：{message}
choose: 请选择
values_of: {time} 的数值
optional: 可选
trend: {name} 最近 3 分钟：现在 {now}，{min} 至 {max} {unit}
stop_more: {stops}…
stop_which: 停止哪一个？
`;
