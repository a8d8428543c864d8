package main

import (
	"strconv"
	"time"
)

// appendTime appends format with the conversions of strftime(3) replaced, in
// the C locale. What it does not know stays as it is, as in the C library.
func appendTime(dst []byte, format string, t time.Time) []byte {
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			dst = append(dst, format[i])
			continue
		}
		start := i
		i++
		if (format[i] == 'E' || format[i] == 'O') && i+1 < len(format) {
			i++ // another calendar or other digits, which this locale has not
		}
		if whole := expand(format[i]); whole != "" {
			dst = appendTime(dst, whole, t)
			continue
		}
		var ok bool
		if dst, ok = appendConversion(dst, format[i], t); !ok {
			dst = append(dst, format[start:i+1]...)
		}
	}
	return dst
}

// expand is what a conversion stands for that consists of others.
func expand(c byte) string {
	switch c {
	case 'c':
		return "%a %b %e %H:%M:%S %Y"
	case 'D', 'x':
		return "%m/%d/%y"
	case 'F':
		return "%Y-%m-%d"
	case 'r':
		return "%I:%M:%S %p"
	case 'R':
		return "%H:%M"
	case 'T', 'X':
		return "%H:%M:%S"
	}
	return ""
}

func appendConversion(dst []byte, c byte, t time.Time) (_ []byte, ok bool) {
	year, week := t.ISOWeek()
	hour12 := (t.Hour()+11)%12 + 1
	weekday := int(t.Weekday())
	switch c {
	case 'a', 'A', 'b', 'B', 'h', 'p', 'P', 'z', 'Z':
		return t.AppendFormat(dst, map[byte]string{
			'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'h': "Jan",
			'p': "PM", 'P': "pm", 'z': "-0700", 'Z': "MST",
		}[c]), true
	case 'C':
		return appendNumber(dst, t.Year()/100, 2, '0'), true
	case 'd':
		return appendNumber(dst, t.Day(), 2, '0'), true
	case 'e':
		return appendNumber(dst, t.Day(), 2, ' '), true
	case 'g':
		return appendNumber(dst, year%100, 2, '0'), true
	case 'G':
		return appendNumber(dst, year, 0, '0'), true
	case 'H':
		return appendNumber(dst, t.Hour(), 2, '0'), true
	case 'I':
		return appendNumber(dst, hour12, 2, '0'), true
	case 'j':
		return appendNumber(dst, t.YearDay(), 3, '0'), true
	case 'k':
		return appendNumber(dst, t.Hour(), 2, ' '), true
	case 'l':
		return appendNumber(dst, hour12, 2, ' '), true
	case 'm':
		return appendNumber(dst, int(t.Month()), 2, '0'), true
	case 'M':
		return appendNumber(dst, t.Minute(), 2, '0'), true
	case 'n':
		return append(dst, '\n'), true
	case 's':
		return strconv.AppendInt(dst, t.Unix(), 10), true
	case 'S':
		return appendNumber(dst, t.Second(), 2, '0'), true
	case 't':
		return append(dst, '\t'), true
	case 'u':
		return appendNumber(dst, (weekday+6)%7+1, 0, '0'), true
	case 'U':
		return appendNumber(dst, (t.YearDay()+6-weekday)/7, 2, '0'), true
	case 'V':
		return appendNumber(dst, week, 2, '0'), true
	case 'w':
		return appendNumber(dst, weekday, 0, '0'), true
	case 'W':
		return appendNumber(dst, (t.YearDay()+6-(weekday+6)%7)/7, 2, '0'), true
	case 'y':
		return appendNumber(dst, t.Year()%100, 2, '0'), true
	case 'Y':
		return appendNumber(dst, t.Year(), 0, '0'), true
	case '%':
		return append(dst, '%'), true
	}
	return dst, false
}

// appendNumber appends n, which is not negative, with at least width digits.
func appendNumber(dst []byte, n, width int, fill byte) []byte {
	digits := strconv.Itoa(n)
	for i := len(digits); i < width; i++ {
		dst = append(dst, fill)
	}
	return append(dst, digits...)
}
