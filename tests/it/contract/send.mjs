// Builds every kind of message with whatsapp-api-js and sends each to the API at argv[2]; prints the path and body of each request, one
// a line.

import { pathToFileURL } from "node:url";

const [api, number, token] = process.argv.slice(2);
const lib = pathToFileURL(`${process.env.DISPATCHER_TEST_CONTRACT_NODE}/whatsapp-api-js/lib/`);
const library = (name) => import(new URL(name, lib)).catch((error) => {
  console.error(error.message);
  process.exit(77);
});
const { WhatsAppAPI } = await library("index.js");
const m = await library("messages/index.js");

const TO = "34600112233";
const LINK = "https://cdn.example/a";

// Whatever goes to Meta goes to the API double.
const toTheDouble = (url, options = {}) => {
  const path = url.replace("https://graph.facebook.com", "");
  console.log(JSON.stringify({ path, body: JSON.parse(options.body) }));
  return fetch(api + path, options);
};

const client = new WhatsAppAPI({ token, secure: false, v: "v26.0", ponyfill: { fetch: toTheDouble } });

const body = new m.Body("Choose");
const footer = new m.Footer("Depot 4");
const product = new m.CatalogProduct("sku-9", "77");
const image = new m.Image(`${LINK}.png`);
const section = () => new m.ProductSection("Desk", new m.Product("sku-9"), new m.Product("sku-8"));

const messages = [
  new m.Text("Hello", true),
  new m.Image("900100200", true, "Your locker"),
  image,
  new m.Audio(`${LINK}.ogg`, false, true),
  new m.Video(`${LINK}.mp4`, false, "How to open it"),
  new m.Document(`${LINK}.pdf`, false, "Invoice", "a.pdf"),
  new m.Sticker("900100203", true),
  new m.Location(-3.7038, 40.4168, "Depot 4", "C/ Ejemplo 1"),
  new m.Contacts([
    new m.Name("Ana Ruiz", "Ana"),
    new m.Birthday("1990", "02", "01"),
    new m.Phone("+34 600 000 001", "WORK", "34600000001"),
    new m.Email("ana@shop.example", "WORK"),
    new m.Url("https://shop.example", "WORK"),
    new m.Organization("Shop", "Sales", "Head"),
    new m.Address("Spain", "ES", "Madrid", "Madrid", "C/ Ejemplo 1", "28001", "WORK"),
  ]),
  new m.Reaction("wamid.IN1", "👍"),
  new m.Reaction("wamid.IN1"),
  new m.Interactive(new m.ActionButtons(new m.Button("keep", "Keep"), new m.Button("move", "Move")), body, new m.Header("Slots"), footer),
  new m.Interactive(new m.ActionButtons(new m.Button("keep", "Keep")), body, new m.Header(image)),
  new m.Interactive(new m.ActionList("See slots", new m.ListSection("Monday", new m.Row("m9", "09:00", "Depot 4"))), body),
  new m.Interactive(new m.ActionCatalog(new m.Product("sku-9")), body),
  new m.Interactive(new m.ActionProduct(product), body),
  new m.Interactive(new m.ActionProductList("77", section()), body, new m.Header("Lamps")),
  new m.Interactive(new m.ActionCTA("Open", LINK), body),
  new m.Interactive(new m.ActionNavigateFlow("f-1", "4455", "Book", "START", { a: 1 }), body),
  new m.Interactive(new m.ActionDataExchangeFlow("f-1", "4455", "Book"), body),
  new m.Interactive(new m.ActionLocation(), body),
  new m.Interactive(new m.ActionCallPermission(), body),
  new m.Template("plain", "en"),
  new m.Template(
    "pickup",
    new m.Language("en"),
    new m.HeaderComponent(new m.HeaderParameter(image)),
    new m.BodyComponent(
      new m.BodyParameter("Ana"),
      new m.BodyParameter(new m.Currency(1000, "EUR", "1 €")),
      new m.BodyParameter(new m.DateTime("today")),
    ),
    new m.URLComponent("t/1"),
    new m.PayloadComponent("p"),
    new m.CopyComponent("LAMP20"),
    new m.FlowComponent("f-1", { a: 1 }),
  ),
  new m.Template("named", "en", new m.BodyComponent(new m.BodyParameter("B-17", "locker"))),
  new m.Template("place", "en", new m.HeaderComponent(new m.HeaderParameter(new m.Location(-3.7, 40.4, "Depot", "C/ 1")))),
  new m.Template("catalog", "en", new m.CatalogComponent(new m.Product("sku-9"))),
  new m.Template("many", "en", new m.MPMComponent(new m.Product("sku-9"), section())),
  new m.Template("offer", "en", new m.LTOComponent(1795000000000)),
  new m.Template("cards", "en", new m.CarouselComponent(new m.CarouselCard(image, new m.BodyComponent(new m.BodyParameter("Ana"))))),
];

const done = (answer) => {
  if (answer.error) {
    throw new Error(JSON.stringify(answer));
  }
};
for (const message of messages) {
  done(await client.sendMessage(number, TO, message, "wamid.IN1".repeat(message instanceof m.Reaction ? 0 : 1) || undefined, "t-1"));
}
done(await client.markAsRead(number, "wamid.IN1"));
done(await client.markAsRead(number, "wamid.IN1", "text"));
