using System;
using System.Collections.Generic;
using System.Linq;
using System.Reflection;
using FdpBridge.Eclipse;

namespace FdpBridge.Headless
{
    /// <summary>The public members of an assembly, in the words of the signature table.</summary>
    internal static class Members
    {
        private const BindingFlags Declared =
            BindingFlags.Public | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;

        internal static Json Of(Assembly assembly)
        {
            return Json.Of(assembly.GetExportedTypes().ToDictionary(type => NameOf(type), type => TypeJson(type)));
        }

        private static Json TypeJson(Type type)
        {
            var members = new Dictionary<string, Json> { { "namespace", Json.Of(type.Namespace) } };
            if (type.IsEnum)
            {
                members.Add("values", Json.Of(Enum.GetNames(type).ToDictionary(
                    name => name, name => Json.Of((int)Enum.Parse(type, name)))));
                return Json.Of(members);
            }
            members.Add("struct", Json.Of(type.IsValueType));
            members.Add("base", Json.Of(type.BaseType.Name));
            members.Add("constructors", Json.Of(type.GetConstructors(Declared).Select(c => Parameters(c))));
            members.Add("properties", Json.Of(type.GetProperties(Declared).ToDictionary(p => p.Name, PropertyJson)));
            members.Add("methods", Json.Of(type.GetMethods(Declared).Where(IsOurs).Select(MethodJson)));
            return Json.Of(members);
        }

        /// <summary>Neither half of a property nor an override of what every object has.</summary>
        private static bool IsOurs(MethodInfo method)
        {
            return !method.IsSpecialName && method.GetBaseDefinition().DeclaringType == method.DeclaringType;
        }

        private static Json PropertyJson(PropertyInfo property)
        {
            MethodInfo setter = property.GetSetMethod();
            return Json.Of(new Dictionary<string, Json>
            {
                { "type", Json.Of(NameOf(property.PropertyType)) },
                { "set", Json.Of(setter != null) }
            });
        }

        private static Json MethodJson(MethodInfo method)
        {
            return Json.Of(new Dictionary<string, Json>
            {
                { "name", Json.Of(method.Name) },
                { "returns", Json.Of(NameOf(method.ReturnType)) },
                { "static", Json.Of(method.IsStatic) },
                { "parameters", Parameters(method) }
            });
        }

        private static Json Parameters(MethodBase method)
        {
            return Json.Of(method.GetParameters().Select(p => Json.Of(NameOf(p.ParameterType) + " " + p.Name)));
        }

        /// <summary>A type as C# and the signature table write it.</summary>
        private static string NameOf(Type type)
        {
            var keywords = new Dictionary<Type, string>
            {
                { typeof(void), "void" }, { typeof(bool), "bool" }, { typeof(int), "int" }, { typeof(double), "double" },
                { typeof(string), "string" }
            };
            Type optional = Nullable.GetUnderlyingType(type);
            if (optional != null)
                return NameOf(optional) + "?";
            if (keywords.ContainsKey(type))
                return keywords[type];
            if (type.IsGenericType)
                return type.Name.Split('`')[0] + "<" + string.Join(",", type.GetGenericArguments().Select(NameOf)) + ">";
            return type.IsNested ? NameOf(type.DeclaringType) + "." + type.Name : type.Name;
        }
    }
}
