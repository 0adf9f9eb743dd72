"""False claims in other people's words must not get past the check, and true ones in other people's words must.

Every line was written by hand, by someone who knew the truth and wanted to say the opposite (or the same) in words that the
templates do not use.
"""

from __future__ import annotations

from typing import Any

import pytest

from curation.reasoning.check import Sample
from schemas.track import Fact
from tests.reasoning.test_check import WHO, fact, reason_for, sample, written

OTHER = "the large blue vehicle"


def pair(kind: str, label: str, value: float | None = None) -> Sample:
    base = fact(kind, label, value)
    values = {
        name: getattr(base, name) for name in ("clip_id", "kind", "object_id", "frame_i", "frame_j", "value", "unit", "label")
    }
    return sample(Fact(**values, other_object_id="obj_2", sigma=0.05, margin=9.0, threshold=3.0, details=base.details))


# The object goes right (0.8 m) and away (3 m), 3.1 m in all, from 5.8 m to 7.6 m from the camera; its outline shrinks to 0.7 of
# its height and shifts from the middle to the right; the camera goes forward by 1.2 m and turns left by 10 degrees; from frame 4
# (1.2 s) to frame 20 (6.0 s).
FALSE = [
    # directions in other words
    f"Bit by bit {WHO} edges over to the left-hand side of the room.",
    f"Over these seconds {WHO} veers off leftward.",
    f"In the scene {WHO} sweeps left across the wall.",
    f"All along, {WHO} makes its way to the left.",
    f"With every step {WHO} gets further left than it was.",
    f"Seen from the first viewpoint, {WHO} crosses from right to left.",
    f"First I look at {WHO}. It wanders off to the left.",
    f"The motion of {WHO} is leftward.",
    "The camera slips away from the wall in reverse.",
    "The viewpoint is carried backwards the whole time.",
    "The camera's heading swings towards the right.",
    "The view rotates rightward as time passes.",
    "The camera keeps its heading throughout.",
    # hidden in what looks like a supposition
    f"If one looks closely, {WHO} goes to the left.",
    f"Rather than to the right, {WHO} goes to the left.",
    f"Here {WHO} moves left instead of right.",
    f"Unlike the wall, {WHO} moves to the left.",
    f"The rest is plain: {WHO} goes to the left.",
    f"Whether near or far, {WHO} goes to the left.",
    f"One would say that {WHO} goes to the left.",
    f"It could be seen that {WHO} goes to the left.",
    # negations of what is true, and false denials
    f"In the scene {WHO} does not go to the right.",
    f"It is not true that {WHO} gets farther away.",
    f"The outline of {WHO} does not shrink.",
    "The camera does not advance.",
    "The camera never turns.",
    f"No doubt {WHO} goes to the left.",
    f"Without any pause {WHO} goes to the left.",
    f"Not only does {WHO} go to the left, it also shrinks.",
    # approach, size, standstill
    f"As the seconds pass, {WHO} gains on us.",
    f"The distance to {WHO} dwindles with every second.",
    f"The space between {WHO} and the camera shrinks.",
    f"At the end {WHO} is at a shorter distance from us than at first.",
    f"Slowly {WHO} heads towards us.",
    f"In the picture {WHO} looms ever bigger.",
    f"By then {WHO} fills more of the picture than before.",
    f"In the last frame {WHO} is just as tall as in the first.",
    f"The outline of {WHO} is three times as tall at the end.",
    f"During all this {WHO} does not budge.",
    f"The whole time {WHO} is parked.",
    f"In fact {WHO} hardly moves at all.",
    f"Afterwards {WHO} is back where it was at the outset.",
    f"It is the camera alone that moves, and {WHO} holds its place.",
    # numbers
    f"In this time {WHO} covers half a metre.",
    "The camera advances by about twenty metres.",
    f"In all {WHO} covers a dozen metres.",
    f"In all {WHO} shifts by 0.8 feet.",
    "The camera advances by 12 mm.",
    "The camera turns by a quarter turn.",
    "The view swings through a right angle.",
    f"In the end {WHO} is twice as far away as at first.",
    f"In the end {WHO} is half as far away as at first.",
    "The camera covers more ground than the thing that it films.",
    "All of this takes a minute.",
    "Only fifteen seconds lie in between.",
    # order
    "Frame 20 precedes frame 4.",
    "The interval opens at 6.0 s and closes at 1.2 s.",
    "After frame 20 we get to frame 4.",
    "First comes frame 20, then frame 4.",
    # place
    f"In the last frame {WHO} stands at the left border of the picture.",
    f"At the start {WHO} is on the right of the picture.",
    # written after the rules stood; 22 of these 40 got past them then
    f"Little by little {WHO} shuffles over to the left of where it was.",
    f"Its course takes {WHO} left.",
    f"We watch {WHO} slip past the doorway on its way left.",
    f"Leftwards it goes, {WHO}, without haste.",
    f"The displacement of {WHO} points to the left.",
    f"What {WHO} does is drift left, plain and simple.",
    f"From one frame to the next {WHO} is carried to the left by its own motion.",
    f"Contrary to first impressions, {WHO} heads left.",
    f"There is no sign that {WHO} goes right.",
    f"Nobody would doubt that {WHO} heads left.",
    f"I see {WHO} get nearer and nearer.",
    f"The stretch between us and {WHO} gets shorter.",
    f"In depth, {WHO} comes forward, out of the room.",
    f"At frame 20 {WHO} stands closer than it did at frame 4.",
    f"By the close, {WHO} has come a good deal nearer.",
    f"The silhouette of {WHO} expands.",
    f"In frame 20 {WHO} appears to be considerably larger.",
    f"No change in size can be seen in {WHO}.",
    f"The spot that {WHO} occupies is the same at both moments.",
    f"All the shift of {WHO} in the picture is the camera's doing.",
    f"The apparent motion of {WHO} is due to the camera alone.",
    "The camera is mounted on a tripod and does not travel.",
    "There is no motion of the camera whatsoever.",
    "The camera moves away from the scene.",
    "The camera drops back.",
    "The filmer walks backwards.",
    "A turn to the right accompanies the forward motion of the camera.",
    "The camera swings round clockwise, to the right.",
    "The view stays aligned all along, with no turn at all.",
    f"Over the interval {WHO} gets about 30 cm further.",
    "The viewpoint is displaced by 3.1 m.",
    "Six seconds separate the two moments.",
    f"In this time {WHO} goes ten times as far as the camera.",
    "Seen at 6.0 s first and at 1.2 s afterwards, the scene is the same.",
    f"At 6.0 s {WHO} is left of the middle of the picture.",
    f"In frame 4 {WHO} is at the far right of the picture.",
    "Near things slide to the right, as they do when a camera goes left.",
    f"The camera outruns {WHO}.",
    f"Initially {WHO} is far away and in the end it is near.",
    f"It turns out that {WHO} goes the other way: left.",
    # and after that; 11 of these 30
    f"A closer inspection shows {WHO} nudging left.",
    f"Compared with the doorway, {WHO} has shifted left.",
    f"The {WHO[4:]} has gone left by frame 20.",
    f"The way of {WHO} bends to the left.",
    f"I conclude that {WHO} moved in the left direction.",
    "Its direction is left, as the wall shows.",
    f"Left is where {WHO} is going.",
    f"The {WHO[4:]} neither goes right nor stays.",
    f"The {WHO[4:]} is coming at us.",
    f"The {WHO[4:]} is nearer to the lens at 6.0 s.",
    f"The {WHO[4:]} closes the distance to the camera.",
    f"The {WHO[4:]} gets larger, which fits with its approach.",
    f"We see more detail on {WHO} since it has come near.",
    f"The {WHO[4:]} stands like a statue.",
    f"The {WHO[4:]} is a static thing in the scene.",
    f"There is no displacement of {WHO} in the scene.",
    "The camera is static.",
    "The camera was not moved.",
    "The camera retreats by 1.2 m.",
    "The camera is pulled out of the room.",
    "A backward dolly is what the parallax shows.",
    "The surroundings contract, so the camera goes back.",
    "The camera yaws to the right by ten degrees.",
    "The turn of the camera is clearly rightward.",
    "The camera turns by some 40 degrees.",
    f"The {WHO[4:]} travels 12 metres.",
    f"The {WHO[4:]} covers thirty centimetres.",
    "The interval lasts 6.0 s.",
    f"The {WHO[4:]} has doubled in height.",
    f"The {WHO[4:]} takes up 40 % of the height at the end.",
]
TRUE = [
    f"Bit by bit {WHO} edges over to the right-hand side of the room.",
    f"Over these seconds {WHO} veers off rightward.",
    f"All along, {WHO} makes its way to the right.",
    f"Seen from the first viewpoint, {WHO} crosses from left to right.",
    f"First I look at {WHO}. It wanders off to the right.",
    f"What was on the left of {WHO} at the outset is now farther behind it.",
    f"The doorway to the left of {WHO} comes into view.",
    f"A lamp on the left stays where it is while {WHO} goes right.",
    "The camera creeps forward, into the room.",
    "The view swings leftwards as time passes, by some ten degrees.",
    "The camera's heading changes a little, towards the left.",
    f"If one looks closely, {WHO} goes to the right.",
    f"Rather than to the left, {WHO} goes to the right.",
    f"Here {WHO} moves right instead of left.",
    f"If {WHO} went to the left, it would pass the lamp.",
    f"Had {WHO} gone to the left, the doorway would have stayed hidden.",
    f"Suppose {WHO} came closer: its outline would have to grow.",
    f"Going left would put {WHO} in front of the lamp, and that is not what happens.",
    f"In the scene {WHO} does not go to the left.",
    f"It is not true that {WHO} gets closer.",
    f"The outline of {WHO} does not grow.",
    "The camera does not stand still.",
    f"No doubt {WHO} goes to the right.",
    f"Without any pause {WHO} goes to the right.",
    f"Not only does {WHO} go to the right, it also shrinks.",
    f"As the seconds pass, {WHO} draws away from us.",
    f"The distance to {WHO} widens with every second.",
    f"At the end {WHO} is at a greater distance from us than at first.",
    f"In the picture {WHO} dwindles.",
    f"By then {WHO} fills less of the picture than before.",
    f"In the last frame {WHO} is clearly less tall than in the first.",
    f"The outline of {WHO} is about two thirds as tall at the end.",
    f"It is not the camera alone that moves: {WHO} leaves its place as well.",
    f"In this time {WHO} covers about three metres.",
    "The camera advances by a bit more than one metre.",
    f"In all {WHO} covers 310 cm.",
    "The camera turns by about ten degrees.",
    "All of this takes 4.8 seconds.",
    "Not quite five seconds lie in between.",
    f"The camera covers less ground than {WHO}.",
    "Frame 4 precedes frame 20.",
    "The interval opens at 1.2 s and closes at 6.0 s.",
    "After frame 4 the wall gives way, until frame 20 is reached.",
    f"In the last frame {WHO} stands right of the middle of the picture.",
    f"At the start {WHO} is in the middle of the picture.",
    "The wall stays in its place, and the doorway does not move either.",
    "A closer look at the fixed surfaces leaves no doubt.",
    "On the left of the picture, the nearest surfaces slide past and grow as they come closer.",
    # written after the rules stood; 2 of these 40 were refused then
    f"Little by little {WHO} shuffles over to the right of where it was.",
    f"Its course takes {WHO} right.",
    f"We watch {WHO} slip past the doorway on its way right.",
    f"Rightwards it goes, {WHO}, without haste.",
    f"The displacement of {WHO} points to the right and into depth.",
    f"Contrary to first impressions, {WHO} heads right.",
    f"There is no sign that {WHO} goes left.",
    f"Nobody would doubt that {WHO} heads right.",
    f"I see {WHO} get farther and farther away.",
    f"The stretch between us and {WHO} gets longer.",
    f"In depth, {WHO} goes further into the room.",
    f"At frame 20 {WHO} stands farther off than it did at frame 4.",
    f"The silhouette of {WHO} contracts.",
    f"In frame 20 {WHO} appears to be considerably smaller.",
    f"The spot that {WHO} occupies differs between the two moments.",
    f"Not all of the shift of {WHO} in the picture is the camera's doing.",
    "The camera is held by someone who walks forward.",
    "There is some motion of the camera, mostly ahead.",
    "The camera moves into the scene, and the wall at the left stays a bit longer in view.",
    "The filmer walks ahead, looking a little more to the left at the end.",
    "A turn to the left accompanies the forward motion of the camera.",
    f"Over the interval {WHO} gets about 3 m further.",
    "The viewpoint is displaced by 1.2 m.",
    "Nearly five seconds separate the two moments.",
    f"In this time {WHO} goes more than twice as far as the camera.",
    "Seen at 1.2 s first and at 6.0 s afterwards, the scene has changed.",
    f"At 6.0 s {WHO} is right of the middle of the picture.",
    f"In frame 4 {WHO} is near the centre.",
    "Near things pass out of view at both borders, as they do when a camera goes ahead.",
    f"The camera cannot keep up with {WHO}.",
    f"Initially {WHO} is fairly close, and in the end it is a good way off.",
    f"The wall to the right of {WHO} is soon hidden by it.",
    f"A chair to the left of the doorway tells how far {WHO} has got.",
    f"Once {WHO} has passed the doorway, less of the left part of the wall is hidden.",
    "Its smaller outline agrees with a larger distance.",
    "The right-hand border of the picture is reached by several surfaces.",
    f"What the picture shows fits {WHO} going right, and the others do not.",
    f"Moving left, {WHO} would have passed the chair.",
    "Nothing on the left of the scene changes its place.",
    f"For {WHO} to be closer, its outline should have become taller.",
    # and after that; 6 of these 30
    f"A closer inspection shows {WHO} nudging right.",
    f"Compared with the doorway, {WHO} has shifted right.",
    f"The {WHO[4:]} has gone right by frame 20.",
    f"The way of {WHO} bends to the right.",
    "Its direction is right, as the wall shows.",
    f"Right is where {WHO} is going.",
    f"The {WHO[4:]} neither goes left nor stays.",
    f"The {WHO[4:]} is leaving us behind.",
    f"The {WHO[4:]} is farther from the lens at 6.0 s.",
    f"The {WHO[4:]} gets smaller, which fits with its getting away.",
    f"We see less detail on {WHO} since it has gone far off.",
    f"The {WHO[4:]} is no static thing in the scene.",
    f"There is a displacement of {WHO} in the scene.",
    "The camera is not static.",
    "The camera was moved.",
    "The camera advances by 1.2 m.",
    "The camera is pushed into the room.",
    "A forward dolly is what the parallax shows.",
    "The surroundings expand, so the camera goes ahead.",
    "The camera yaws to the left by ten degrees.",
    "The turn of the camera is clearly leftward.",
    f"The {WHO[4:]} travels 3.1 metres.",
    f"The door frame stays put while {WHO} does not.",
    "The interval lasts 4.8 s.",
    f"The {WHO[4:]} has lost about a third of its height.",
    f"The {WHO[4:]} takes up 18 % of the height at the end.",
    "Nothing else in the room moves.",
    f"As the camera turns left, the whole picture shifts right, {WHO} with it.",
    f"Some of the shift of {WHO} in the picture comes from the camera's turn.",
    f"The camera follows {WHO}, yet does not get closer to it.",
]
OTHER_FALSE = [
    (sample(fact("object_speed_change", "faster", 0.4)), f"Towards the end {WHO} slows."),
    (sample(fact("object_speed_change", "faster", 0.4)), f"In the second half {WHO} loses pace."),
    (sample(fact("object_speed_change", "slower", 0.4)), f"Then {WHO} accelerates."),
    (sample(fact("object_motion_pattern", "comes to a stop", None)), f"All the time {WHO} keeps going without a break."),
    (sample(fact("object_motion_pattern", "keeps moving", None)), f"In the end {WHO} halts."),
    (sample(fact("object_stop_time", "first third", None)), f"In the last third {WHO} comes to rest."),
    (sample(fact("object_camera_closest_time", "middle third", None)), f"The closest moment of {WHO} lies in the first third."),
    (sample(fact("object_true_motion", "both", None)), "It is only the viewpoint that changes."),
    (sample(fact("camera_rotation", "left", 10.0)), "The camera rolls clockwise more than anything."),
    (pair("object_first_mover", "first"), f"The first to set off is {OTHER}."),
    (pair("object_first_mover", "first"), f"In truth {WHO} starts later than {OTHER}."),
    (pair("object_speed_comparison", "first"), f"Of the two, {OTHER} is quicker."),
    (pair("object_speed_comparison", "first"), f"Plainly {WHO} is slower than {OTHER}."),
    (pair("object_object_distance_change", "closer"), f"Meanwhile {WHO} and {OTHER} drift apart."),
    (pair("object_object_distance_change", "farther"), f"The gap between {WHO} and {OTHER} narrows."),
    (pair("object_object_heading", "opposite ways"), f"Both {WHO} and {OTHER} travel in the same direction."),
    (pair("object_passing", "first"), f"In the end {OTHER} overtakes {WHO}."),
]
OTHER_TRUE = [
    (sample(fact("object_speed_change", "faster", 0.4)), f"Towards the end {WHO} picks up pace."),
    (sample(fact("object_speed_change", "faster", 0.4)), f"In the first half {WHO} is slower than in the second."),
    (sample(fact("object_motion_pattern", "comes to a stop", None)), f"After that {WHO} halts and stays."),
    (sample(fact("object_motion_pattern", "keeps moving", None)), f"At no time does {WHO} halt."),
    (sample(fact("object_stop_time", "first third", None)), f"In the last third {WHO} is at rest already."),
    (sample(fact("object_camera_closest_time", "middle third", None)), f"The closest moment of {WHO} lies in the middle third."),
    (sample(fact("object_true_motion", "both", None)), "Not only the viewpoint changes."),
    (pair("object_first_mover", "first"), f"The first to set off is {WHO}."),
    (pair("object_first_mover", "first"), f"In truth {OTHER} starts later than {WHO}."),
    (pair("object_speed_comparison", "first"), f"Of the two, {WHO} is quicker."),
    (pair("object_object_distance_change", "closer"), f"Meanwhile {WHO} and {OTHER} draw together."),
    (pair("object_object_heading", "opposite ways"), f"While {WHO} goes one way, {OTHER} goes the other."),
    (pair("object_passing", "first"), f"In the end {WHO} overtakes {OTHER}."),
]


def told(of: Sample, sentence: str) -> str:
    return reason_for(written(of, third=sentence), of)


@pytest.mark.parametrize("sentence", FALSE)
def test_a_false_claim_in_other_words_is_refused(sentence: str) -> None:
    assert told(sample(), sentence)


@pytest.mark.parametrize("sentence", TRUE)
def test_a_true_claim_in_other_words_passes(sentence: str) -> None:
    assert told(sample(), sentence) == ""


@pytest.mark.parametrize(("of", "sentence"), OTHER_FALSE)
def test_a_false_claim_about_what_was_asked_is_refused(of: Sample, sentence: str) -> None:
    assert told(of, "") == "" and told(of, sentence)


@pytest.mark.parametrize(("of", "sentence"), OTHER_TRUE)
def test_a_true_claim_about_what_was_asked_passes(of: Sample, sentence: str) -> None:
    assert told(of, sentence) == ""


def test_there_are_enough_of_both() -> Any:
    assert len(FALSE) + len(OTHER_FALSE) >= 70 and len(TRUE) + len(OTHER_TRUE) >= 60
