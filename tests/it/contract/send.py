"""Builds every kind of message with pywa and sends each to the API at argv[1]; prints the path and body of each request, one a line."""

import json
import sys

try:
    import httpx
    from pywa import WhatsApp
    from pywa.types import (
        Button,
        CallPermissionRequestButton,
        Contact,
        FlowButton,
        FlowActionType,
        ImageCarouselCard,
        ProductsSection,
        Section,
        SectionList,
        SectionRow,
        URLButton,
        VoiceCallButton,
    )
    from pywa.types.templates import BodyText, CopyCodeButton, HeaderImage, TemplateLanguage, URLButton as TemplateURL
except ImportError as error:
    print(error, file=sys.stderr)
    sys.exit(77)

API, NUMBER, TOKEN = sys.argv[1:]
TO = "+34600112233"
LINK = "https://cdn.example/a"


class ToTheDouble(httpx.HTTPTransport):
    """Whatever goes to Meta goes to the API double."""

    def handle_request(self, request):
        path = request.url.raw_path.decode()
        print(json.dumps({"path": path, "body": json.loads(request.content)}))
        double = httpx.URL(API)
        request.url = request.url.copy_with(scheme=double.scheme, host=double.host, port=double.port)
        return super().handle_request(request)


wa = WhatsApp(phone_id=NUMBER, token=TOKEN, session=httpx.Client(transport=ToTheDouble()))

wa.send_text(TO, "Hello", preview_url=True, reply_to_message_id="wamid.IN1", tracker="t-1")
wa.send_text("ES.13491208655302741918", "To a business-scoped user id")
wa.send_text(TO, "Keep the slot?", header="Slots", footer="Depot 4", buttons=[Button("Keep", "keep"), Button("Move", "move")])
wa.send_text(TO, "Details", buttons=URLButton("Open", LINK))
wa.send_text(TO, "Call us", buttons=VoiceCallButton("Call"))
wa.send_text(TO, "May we call?", buttons=CallPermissionRequestButton())
rows = [SectionRow("09:00", "m9", "Depot 4"), SectionRow("10:00", "m10")]
wa.send_text(TO, "Pick one", buttons=SectionList("See slots", [Section("Monday", rows)]))
flow = FlowButton("Book", flow_id="4455", flow_token="f", flow_action_type=FlowActionType.NAVIGATE, flow_action_screen="START")
wa.send_text(TO, "Book", buttons=flow)
wa.send_image(TO, LINK + ".png", caption="Your locker")
wa.send_image(TO, "900100200", caption="Yes?", buttons=[Button("Yes", "y")])
wa.send_video(TO, LINK + ".mp4", caption="How to open it")
wa.send_document(TO, LINK + ".pdf", filename="a.pdf", caption="Invoice")
wa.send_audio(TO, LINK + ".mp3")
wa.send_voice(TO, LINK + ".ogg")
wa.send_sticker(TO, LINK + ".webp")
wa.send_location(TO, latitude=40.4168, longitude=-3.7038, name="Depot 4", address="C/ Ejemplo 1")
name = Contact.Name(formatted_name="Ana Ruiz", first_name="Ana")
wa.send_contact(TO, Contact(name=name, phones=[Contact.Phone("+34600000001", "WORK")], birthday="1990-02-01"))
wa.send_reaction(TO, "👍", "wamid.IN1")
wa.remove_reaction(TO, "wamid.IN1")
wa.send_catalog(TO, "All we have", "Footer", thumbnail_product_sku="sku-9")
wa.send_product(TO, "77", "sku-9", "This one?")
wa.send_products(TO, "77", [ProductsSection("Desk", ["sku-9", "sku-8"])], "Lamps", "Choose")
cards = [ImageCarouselCard(image=LINK + ".png", body=text, buttons=URLButton("Buy", LINK)) for text in ("One", "Two")]
wa.send_carousel(TO, body="Offers", cards=cards)
english = TemplateLanguage.ENGLISH_US
wa.send_template(TO, "plain", english)
params = [HeaderImage.params(image=LINK + ".png"), BodyText.params("Ana", "B-17"), TemplateURL.params(url_variable="t/1", index=0)]
wa.send_template(TO, "pickup", english, params)
wa.send_template(TO, "named", english, [BodyText.params(locker="B-17"), CopyCodeButton.params(coupon_code="LAMP20", index=0)])
wa.send_template(TO, "offer", english, use_mm_lite_api=True, message_activity_sharing=True)
wa.mark_message_as_read("wamid.IN1")
wa.indicate_typing("wamid.IN1")
