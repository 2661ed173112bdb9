export default `
seconds: {n} с
millis: {n} мс
machines: Машины
people: На борту
talk: Чат и журнал
chat_only: только чат
stops: Аварийный останов
logout: Выйти
enter: Вернуться
send: Отправить
cancel: Отмена
say_label: Сообщение всем на борту
me: {user} · {role} · место {seat}
role_viewer: наблюдатель
role_operator: оператор
role_admin: администратор

state_connecting: Соединение
state_open: На связи
state_full: Ожидание
state_signed_out: Вход не выполнен
state_lost: Нет связи
quiet: тишина {s}
as_of: Состояние на {time}: сейчас связи нет.
again: Новая попытка каждую секунду.
coming: Возвращаемся.
lost_silent: От платы больше ничего не слышно. {again}
lost_closed: Связь с платой прервалась. {again}
lost_unreachable: Плата не отвечает. {again}
lost_shutdown: Плата завершает работу. {again}
lost_lost: Плата потеряла нас из виду. {coming}
lost_slow: Страница слишком долго не принимала данные. {coming}
lost_stalled: Страница не отвечала, а место понадобилось. {coming}
lost_refused: Плата отказывает: {message}
full: Свободных мест нет: занято {taken} из {max}. Вам достанется первое освободившееся.
over_logout: Вы вышли, и браузер забыл пароль.
over_evicted: Администратор забрал ваше место.
over_idle: Долгое бездействие: место освобождено.
over_replaced: Вы вошли с другого устройства: место перешло туда.
over_expired: Ваш сеанс закончился.

full_title: Свободных мест нет
full_how: Мест: {seats}, свободного для вас нет. Как только появится, вы войдёте.
full_people: На борту сейчас
full_again: Страница сама пробует снова.
full_silent: Плата не отвечает.

seats: занято мест: {taken} из {max}
seat: Место {n}
you: {user} (вы)
since: с {time}
present: на связи
suspect: молчит
stalled: не отвечает
why_suspect: не слышно {s}
why_page: страница не отвечает
why_transport: не принимает данные
why_nolink: простые страницы или curl
round_trip: Время отклика
controls: управляет: {devices}
evict: Выгнать
evict_ask: Забрать место у {user}? Минуту вернуться будет нельзя.
evict_yes: Выгнать {user}
not_done: Не сделано: {message}

joined: {user} на борту, место {seat}
returned: {user} снова на борту, место {seat}
left: {user} покидает борт
left_logout: выход
left_evicted: место забрал администратор
left_idle: слишком долгое бездействие
left_replaced: вход с другого устройства
left_slow: данные слишком долго не принимались
left_stalled: страница не отвечала, а место понадобилось
left_expired: сеанс закончился
lost: {user}: связь потеряна, тишина {s}, {why}
evidence_no_ack: подтверждений больше нет
evidence_one_way: говорит, но не слышит
evidence_keepalive: пробы без ответа
evidence_reset: соединение сброшено
evidence_unreachable: сеть сообщает: недоступен
turned_away: {user} с адреса {addr}: свободного места нет
gap: Здесь не хватает событий.
restarted: Плата запущена заново.
unknown_sent: Связь прервалась. Если сообщения нет выше, отправьте его снова.

up: на связи
down: нет связи
down_left: ушло само
down_lost: потеряно, {evidence_no_ack}
down_silent: программа ничего не говорит
down_replaced: пришло другое с тем же именем
down_protocol: нарушен протокол
free: Никто не управляет
held: Управляет {user}
held_here: Управляете вы
take: Взять управление
release: Отдать
give: Предложить…
force: Забрать силой
give_ask: Кому предложить {device}? На ответ 10 с.
give_nobody: Других операторов на борту нет.
offered: Предложено: {user}, на 10 с.
force_ask: Забрать {device} у {user}? Машина продолжит работать как есть.
offers: {user} предлагает вам управление
taken: {user} берёт управление {device}
released: {user} отдаёт управление {device}
given: {was} передаёт {device}: теперь управляет {user}
forced: {user} забирает {device} у {was} силой
ended: {was} больше не управляет {device}: {why}.
ended_safe: {ended} Машине велено перейти в безопасное состояние.
end_lost: связь потеряна
end_left: уход
end_page: страница не отвечала
end_lease: срок истёк
end_device: машина пропала
end_shutdown: плата останавливается
late: с опозданием
wait: {command}: ждём ответа…
no: {command}: машина отказала
ok: {command}: выполнено
gone: {command}: ответа нет, неизвестно, выполнено ли
refusal: {command}: не передано: {message}
choose: выберите
values_of: значения на {time}
optional: необязательно
trend: {name} за 3 минуты: сейчас {now}, от {min} до {max} {unit}
stop_more: {stops}…
stop_which: Что остановить?
`;
