using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;

namespace FdpBridge.Eclipse
{
    /// <summary>A JSON value. Numbers keep their text, so that nothing depends on the culture of the machine.</summary>
    public sealed class Json
    {
        private readonly object value;

        private Json(object value)
        {
            this.value = value;
        }

        /// <summary>A number as it stands in the text.</summary>
        internal sealed class Number
        {
            internal readonly string Text;
            internal readonly double Value;

            internal Number(string text)
            {
                Text = text;
                if (!double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out Value) || double.IsInfinity(Value))
                    throw new FormatException("a number is not finite");
            }
        }

        public bool IsNull
        {
            get { return value == null; }
        }

        public string Text
        {
            get { return As<string>("text"); }
        }

        public bool Flag
        {
            get { return As<bool>("true or false"); }
        }

        public IList<Json> Items
        {
            get { return As<List<Json>>("a list"); }
        }

        public IDictionary<string, Json> Members
        {
            get { return As<Dictionary<string, Json>>("an object"); }
        }

        public double Value
        {
            get { return As<Number>("a number").Value; }
        }

        public int Whole
        {
            get
            {
                double number = Value;
                if (number != Math.Floor(number) || Math.Abs(number) > int.MaxValue)
                    throw new FormatException(As<Number>("a number").Text + " is not a whole number");
                return (int)number;
            }
        }

        public double? ValueOrNull
        {
            get { return IsNull ? (double?)null : Value; }
        }

        public int? WholeOrNull
        {
            get { return IsNull ? (int?)null : Whole; }
        }

        /// <summary>A member of an object; it is an error if it is not there.</summary>
        public Json this[string name]
        {
            get
            {
                Json member;
                if (!Members.TryGetValue(name, out member))
                    throw new FormatException("\"" + name + "\" is missing");
                return member;
            }
        }

        internal object Raw
        {
            get { return value; }
        }

        public static Json Of(string text)
        {
            return new Json(text);
        }

        public static Json Of(bool flag)
        {
            return new Json(flag);
        }

        public static Json Of(int? number)
        {
            return number == null ? new Json(null) : NumberOf(number.Value.ToString(CultureInfo.InvariantCulture));
        }

        public static Json Of(double number)
        {
            return NumberOf(number.ToString("R", CultureInfo.InvariantCulture));
        }

        public static Json Of(IEnumerable<Json> items)
        {
            return new Json(items.ToList());
        }

        public static Json Of(IDictionary<string, Json> members)
        {
            return new Json(new Dictionary<string, Json>(members));
        }

        public static Json Null()
        {
            return new Json(null);
        }

        internal static Json NumberOf(string text)
        {
            return new Json(new Number(text));
        }

        private T As<T>(string what)
        {
            if (!(value is T))
                throw new FormatException("found something that is not " + what);
            return (T)value;
        }
    }
}
