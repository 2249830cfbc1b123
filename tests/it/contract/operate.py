"""Performs operations with pywa's own calls, against the API at argv[1]; prints method, path and body of each request, one a line.

Each is followed by a read that must show it, as pywa reads the answer.
"""

import datetime
import json
import sys

try:
    import httpx
    from pywa import WhatsApp
    from pywa.types import Command, FlowCategory, UserIdentityChangeSettings
    from pywa.types.templates import BodyText, Template, TemplateCategory, TemplateLanguage
except ImportError as error:
    print(error, file=sys.stderr)
    sys.exit(77)

API, NUMBER, TOKEN, WABA, BUSINESS = sys.argv[1:]
USER = "34600112233"
LINK = "https://cdn.example/hook"


def body_of(request):
    content = request.read()
    if request.headers.get("content-type", "").startswith("multipart/"):
        return {"is_in_parts": True}
    return json.loads(content) if content else None


class ToTheDouble(httpx.HTTPTransport):
    """Whatever goes to Meta goes to the API double."""

    def handle_request(self, request):
        told = {"method": request.method, "host": request.url.host, "path": request.url.path, "query": dict(request.url.params)}
        print(json.dumps(told | {"body": body_of(request)}))
        double = httpx.URL(API)
        request.url = request.url.copy_with(scheme=double.scheme, host=double.host, port=double.port)
        return super().handle_request(request)


wa = WhatsApp(phone_id=NUMBER, token=TOKEN, waba_id=WABA, session=httpx.Client(transport=ToTheDouble()))

# A number: its texts and settings.
wa.update_business_profile(about="open", websites=[LINK])
assert wa.get_business_profile().about == "open"
wa.update_commerce_settings(is_catalog_visible=True)
assert wa.get_commerce_settings().is_catalog_visible
wa.update_conversational_automation(ice_breakers=["Book"], commands=[Command("book", "Books a slot")])
wa.update_display_name("Depot 4")
wa.override_phone_callback_url(LINK, "v")
number = wa.get_business_phone_number()
assert number.conversational_automation.commands[0].name == "book"
wa.delete_phone_callback_url()
wa.set_business_public_key("-----BEGIN PUBLIC KEY-----")
wa.update_business_phone_number_settings(user_identity_change=UserIdentityChangeSettings(enable_identity_key_check=True))
assert wa.get_business_phone_number_settings().user_identity_change.enable_identity_key_check
wa.set_username("depot")
assert wa.get_current_username().username == "depot"
wa.get_reserved_usernames()
wa.delete_username()

# QR codes, people, media.
code = wa.create_qr_code("Hi").code
wa.update_qr_code(code, "Hello")
assert wa.get_qr_code(code).prefilled_message == "Hello"
assert [qr.code for qr in wa.get_qr_codes()] == [code]
wa.delete_qr_code(code)
assert not list(wa.get_qr_codes())
assert wa.block_users([USER]).added_users
# Its client wants `input` of each, which Meta's answer does not have.
assert wa.api.get_blocked_users(NUMBER)["data"][0]["wa_id"] == USER
assert wa.unblock_users([USER]).removed_users
media = wa.upload_media(b"\x89PNG", mime_type="image/png", filename="a.png")
assert wa.get_media_url(media.id).mime_type == "image/png"
wa.delete_media(media.id)

# The account.
assert wa.get_business_account().id == WABA
assert len(list(wa.get_owned_business_accounts(business_portfolio_id=BUSINESS))) == 1
wa.get_shared_business_accounts(business_portfolio_id=BUSINESS)
wa.override_waba_callback_url(LINK, "v")
wa.delete_waba_callback_url()
wa.create_phone_number(country_calling_code=34, phone_number="600000008", verified_name="Depot")
assert len(list(wa.get_business_phone_numbers())) == 2

# Templates.
english = TemplateLanguage.ENGLISH_US
sale = Template(name="sale", language=english, category=TemplateCategory.MARKETING, components=[BodyText("Hi")])
template = wa.create_template(sale).id
assert wa.get_template(template).name == "sale"
assert [template.id for template in wa.get_templates(name="sale")] == [template]
# Its client sends this one as a JSON text within JSON.
code_only = [{"type": "BODY"}, {"type": "BUTTONS", "buttons": [{"type": "OTP", "otp_type": "COPY_CODE"}]}]
upsert = {"name": "otp", "languages": ["en_US"], "category": "AUTHENTICATION", "components": code_only}
otp = wa.api.upsert_message_templates(WABA, upsert)["data"][0]["id"]
wa.update_template(otp, new_components=[BodyText("Code {{1}}", "7")])
week = datetime.timedelta(days=7)
wa.compare_templates(template, otp, start=datetime.datetime.now() - week, end=datetime.datetime.now())
assert wa.archive_templates([template]).archived == (template,)
assert wa.unarchive_templates([template]).unarchived == (template,)
wa.migrate_templates("901")
wa.delete_template("sale")
assert not list(wa.get_templates(name="sale"))

# Flows.
flow = wa.create_flow("book", [FlowCategory.OTHER]).id
wa.update_flow_metadata(flow, name="booking")
wa.update_flow_json(flow, {"version": "3.0", "screens": []})
assert len(list(wa.get_flow_assets(flow))) == 1
wa.publish_flow(flow)
assert wa.get_flow(flow).status == "PUBLISHED"
wa.deprecate_flow(flow)
draft = wa.create_flow("draft", [FlowCategory.OTHER]).id
wa.delete_flow(draft)
assert [flow.name for flow in wa.get_flows()] == ["booking"]
wa.migrate_flows("901", ["theirs"])

# Groups.
wa.create_group(subject="Depot")
# Its client wants them as `data` itself, where Meta's answer has them one level deeper.
group = wa.api.get_active_groups(NUMBER)["data"]["groups"][0]["id"]
assert wa.get_group(group).subject == "Depot"
first = wa.get_group_invite_link(group).link
assert wa.reset_group_invite_link(group).link != first
wa.get_group_join_requests(group)
wa.update_group_settings(group, subject="Depots", profile_picture=b"jpeg")
wa.remove_group_participants(group, [USER])
wa.delete_group(group)
