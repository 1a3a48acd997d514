package teltonika

// Codec 8 (vendor's page, "Codec 8"), one record:
//
//	 0            24      25      26
//	+------------+-------+-------+----------------------+---------+---------+---------+
//	| fixed part | event | total | n1 n1×(id, value 1)  | n2 ...2 | n4 ...4 | n8 ...8 |
//	+------------+-------+-------+----------------------+---------+---------+---------+
//
// Event id, total, counts and ids are one byte each.
var layout8 = layout{idSize: 1, countSize: 1, groups: []Group{Group1, Group2, Group4, Group8}}

// layout8N16 is the variant of old FM36 and FM4 devices, which has one more group behind the others:
// n16, n16×(id, value of 16 bytes).
var layout8N16 = layout{idSize: 1, countSize: 1, groups: []Group{Group1, Group2, Group4, Group8, Group16}}
