using System.Reflection;
using System.Text;

namespace Sparseland.Cli.Tests.House;

/// <summary>The public surface of every library is an approved text file under <c>docs/api</c>.</summary>
public class PublicApiTests
{
    public static TheoryData<string> Libraries() => new(Repository.Floors.Select(f => f.Name).Where(n => n != "sparseland"));

    /// <summary>Run with SPARSELAND_APPROVE=1 to write the files anew, then review the difference.</summary>
    [Theory]
    [MemberData(nameof(Libraries))]
    public void ThePublicSurfaceIsTheApprovedOne(string library)
    {
        string actual = Describe(Repository.Floors.Single(f => f.Name == library).Assembly);
        string approvedFile = Path.Combine(Repository.Root, "docs", "api", library + ".txt");
        if (Environment.GetEnvironmentVariable("SPARSELAND_APPROVE") == "1")
        {
            Directory.CreateDirectory(Path.GetDirectoryName(approvedFile)!);
            File.WriteAllText(approvedFile, actual);
        }
        Assert.True(File.Exists(approvedFile), $"{approvedFile} is missing: run the test with SPARSELAND_APPROVE=1 and review it");
        string[] expected = File.ReadAllLines(approvedFile), lines = actual.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        string[] added = lines.Except(expected).Take(10).ToArray(), removed = expected.Except(lines).Where(l => l.Length > 0).Take(10).ToArray();
        Assert.True(
            added.Length == 0 && removed.Length == 0,
            $"the public surface of {library} changed (SPARSELAND_APPROVE=1 approves it).\nadded:\n{string.Join('\n', added)}\nremoved:\n{string.Join('\n', removed)}");
    }

    private static string Describe(Assembly assembly)
    {
        var text = new StringBuilder();
        foreach (Type type in assembly.GetExportedTypes().OrderBy(t => t.FullName, StringComparer.Ordinal))
        {
            text.Append(Kind(type)).Append(' ').Append(Name(type)).Append('\n');
            const BindingFlags Flags = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;
            IEnumerable<string> members = type.GetMembers(Flags).Where(IsVisible).Select(m => Member(type, m)).OfType<string>().Distinct().Order(StringComparer.Ordinal);
            foreach (string member in members) text.Append("  ").Append(Name(type)).Append(" :: ").Append(member).Append('\n');
        }
        return text.ToString();
    }

    private static bool IsVisible(MemberInfo member) => member switch
    {
        MethodBase m => m.IsPublic || m.IsFamily || m.IsFamilyOrAssembly,
        FieldInfo f => f.IsPublic || f.IsFamily || f.IsFamilyOrAssembly,
        PropertyInfo p => p.GetAccessors(true).Any(IsVisible),
        EventInfo e => e.AddMethod is { } add && IsVisible(add),
        _ => false,
    };

    private static string? Member(Type type, MemberInfo member) => member switch
    {
        ConstructorInfo c => $"new({Parameters(c)})",
        MethodInfo m when !m.IsSpecialName && !m.Name.Contains('<') => $"{Modifier(m)}{m.Name}{Generics(m)}({Parameters(m)}) -> {Name(m.ReturnType)}",
        PropertyInfo p => $"{(p.GetIndexParameters().Length > 0 ? $"this[{string.Join(", ", p.GetIndexParameters().Select(i => Name(i.ParameterType)))}]" : p.Name)} : {Name(p.PropertyType)} {{{(p.GetMethod is { } g && IsVisible(g) ? " get" : "")}{(p.SetMethod is { } s && IsVisible(s) ? " set" : "")} }}",
        FieldInfo f when type.IsEnum => f.IsLiteral ? $"{f.Name} = {Convert.ToInt64(f.GetRawConstantValue())}" : null,
        FieldInfo f when !f.Name.Contains('<') => $"{f.Name} : {Name(f.FieldType)}",
        EventInfo e => $"event {e.Name} : {Name(e.EventHandlerType!)}",
        _ => null,
    };

    private static string Kind(Type type) => type.IsEnum ? "enum" : type.IsInterface ? "interface" : type.IsValueType ? "struct"
        : type.IsAbstract && type.IsSealed ? "static class" : type.IsAbstract ? "abstract class" : type.IsSealed ? "sealed class" : "class";

    private static string Modifier(MethodInfo m) => m.IsStatic ? "static " : m.IsAbstract ? "abstract " : m.IsVirtual && !m.IsFinal ? "virtual " : "";

    private static string Generics(MethodInfo m) => m.IsGenericMethodDefinition ? $"<{string.Join(", ", m.GetGenericArguments().Select(a => a.Name))}>" : "";

    private static string Parameters(MethodBase m) => string.Join(", ", m.GetParameters().Select(p => $"{Name(p.ParameterType)} {p.Name}{(p.HasDefaultValue ? " = " + (p.DefaultValue ?? "default") : "")}"));

    private static string Name(Type type)
    {
        if (type.IsByRef) return "ref " + Name(type.GetElementType()!);
        if (type.IsArray) return Name(type.GetElementType()!) + "[]";
        if (Nullable.GetUnderlyingType(type) is { } inner) return Name(inner) + "?";
        if (type.IsGenericParameter) return type.Name;
        string name = type.IsNested ? Name(type.DeclaringType!) + "." + type.Name : type.Namespace is "System" ? type.Name : $"{type.Namespace}.{type.Name}";
        int tick = name.IndexOf('`');
        if (tick >= 0) name = name[..tick];
        return type.IsGenericType ? $"{name}<{string.Join(", ", type.GetGenericArguments().Select(Name))}>" : name;
    }
}
